#include "cephfs/libcephfs.hpp"

#include <sstream>

#include "common/tool.h"

static std::string object_of(const std::string& path) {
  std::istringstream parts(path);
  std::string object = "fs:";
  for (std::string part; std::getline(parts, part, '/');) {
    if (part == "..") {
      throw ceph::Error(path + " leads upwards");
    }
    object += part.empty() || part == "." ? "" : "/" + part;
  }
  return object;
}

CephFS::CephFS(librados::IoCtx pool) : pool_(std::move(pool)) {}

void CephFS::write(const std::string& path, std::string_view bytes) {
  if (!list(path).empty()) {
    throw ceph::Error(path + " is a folder");
  }
  pool_.write_full(object_of(path), bytes);
}

std::string CephFS::read(const std::string& path) const { return pool_.read(object_of(path)); }

std::set<std::string> CephFS::list(const std::string& folder) const {
  const std::string start = object_of(folder) + "/";
  std::set<std::string> names;
  for (const auto& object : pool_.list(start)) {
    const auto slash = object.find('/', start.size());
    names.insert(object.substr(start.size(), slash == std::string::npos ? slash : slash + 1 - start.size()));
  }
  return names;
}
