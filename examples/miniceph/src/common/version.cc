#include "common/version.h"

#include "ceph_ver.h"

const char* ceph_version_to_str() { return CEPH_NICE_VERSION; }

std::string pretty_version_to_str() {
  return std::string("ceph version ") + CEPH_NICE_VERSION + " (release " + std::to_string(CEPH_RELEASE) + ")";
}
