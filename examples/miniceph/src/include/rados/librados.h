#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The version, for bindings of other languages.
const char* rados_version(void);

/// What the monitor of the cluster in `data` knows, as a JSON document of at most `size` bytes with its
/// closing zero. Gives 0, or -1 with the reason in the document's place.
int rados_status(const char* data, char* answer, size_t size);

#ifdef __cplusplus
}
#endif
