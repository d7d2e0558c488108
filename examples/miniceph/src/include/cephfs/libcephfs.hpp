#pragma once

#include <set>
#include <string>
#include <string_view>

#include "rados/librados.hpp"

/// A file system over a pool: an object for each file, folders are where files are.
class CephFS {
 public:
  explicit CephFS(librados::IoCtx pool);

  void write(const std::string& path, std::string_view bytes);
  std::string read(const std::string& path) const;

  /// The names in a folder; those of folders end with a slash.
  std::set<std::string> list(const std::string& folder) const;

 private:
  librados::IoCtx pool_;
};
