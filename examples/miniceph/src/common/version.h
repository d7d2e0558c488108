#pragma once

#include <string>

/// What every tool answers to --version. Compiled into libceph-common alone, so that an edit stays small.
std::string pretty_version_to_str();

/// The version alone; a plugin must be of the same.
const char* ceph_version_to_str();
