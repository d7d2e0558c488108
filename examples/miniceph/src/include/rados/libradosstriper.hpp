#pragma once

#include <string>
#include <string_view>

#include "ceph_ver.h"
#include "rados/librados.hpp"

namespace libradosstriper {

/// Files larger than an object should be: dealt out in units, round and round over a few objects.
class RadosStriper {
 public:
  RadosStriper(librados::IoCtx pool, std::size_t unit, std::size_t count);

  void write(const std::string& name, std::string_view bytes);
  std::string read(const std::string& name) const;
  std::size_t size(const std::string& name) const;

#if CEPH_RELEASE >= 2
  /// Shorten a file, or fill it up with zeros.
  void truncate(const std::string& name, std::size_t size);
#endif

 private:
  librados::IoCtx pool_;
  std::size_t unit_;
  std::size_t count_;
};

}  // namespace libradosstriper
