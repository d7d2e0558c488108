#pragma once

#include <string>

namespace ceph {

/// Load plugin `name` of a `kind` ("erasure-code" or "rados-classes") and give its function `entry`.
/// Throws Error where there is none, or one of another version.
void* load_plugin(const std::string& kind, const std::string& name, const char* entry);

}  // namespace ceph

/// What every plugin tells of itself.
#define CEPH_PLUGIN \
  extern "C" const char* __ceph_plugin_version() { return CEPH_NICE_VERSION; }
