#pragma once

#include <string>
#include <vector>

#include "rados/librados.hpp"

namespace librbd {

/// A block device over a pool: objects of 4 MiB each. Blocks of zeros take no room.
class Image {
 public:
  static std::vector<std::string> list(const librados::IoCtx& pool);
  static void create(librados::IoCtx pool, const std::string& name, const std::string& bytes);

  Image(librados::IoCtx pool, const std::string& name);

  std::size_t size() const { return size_; }
  std::string read() const;

 private:
  librados::IoCtx pool_;
  std::string name_;
  std::size_t size_;
};

}  // namespace librbd
