#include "common/version.h"
#include "rados/librados.h"
#include "rados/librados.hpp"

static int answer_with(const std::string& text, char* answer, size_t size, int code) {
  answer[text.copy(answer, size - 1)] = '\0';
  return code;
}

const char* rados_version() { return ceph_version_to_str(); }

int rados_status(const char* data, char* answer, size_t size) {
  try {
    return answer_with(librados::Rados(data).status(), answer, size, 0);
  } catch (const std::exception& error) {
    return answer_with(error.what(), answer, size, -1);
  }
}
