#include "rados/libradosstriper.hpp"

#include <algorithm>

#include "common/tool.h"

namespace libradosstriper {

static std::string part(const std::string& name, std::size_t number) { return name + "." + std::to_string(number); }

RadosStriper::RadosStriper(librados::IoCtx pool, std::size_t unit, std::size_t count)
    : pool_(std::move(pool)), unit_(std::max<std::size_t>(unit, 1)), count_(std::max<std::size_t>(count, 1)) {}

void RadosStriper::write(const std::string& name, std::string_view bytes) {
  std::vector<std::string> parts(count_);
  for (std::size_t at = 0; at < bytes.size(); at += unit_) {
    parts[at / unit_ % count_] += bytes.substr(at, unit_);
  }
  for (std::size_t i = 0; i < count_; ++i) {
    pool_.write_full(part(name, i), parts[i]);
  }
  pool_.write_full(name + ".size", std::to_string(bytes.size()));
}

std::string RadosStriper::read(const std::string& name) const {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < count_; ++i) {
    parts.push_back(pool_.read(part(name, i)));
  }
  std::string bytes;
  const std::size_t wanted = size(name);
  for (std::size_t turn = 0; bytes.size() < wanted; ++turn) {
    const auto& from = parts[turn % count_];
    if (turn / count_ * unit_ >= from.size()) {
      throw ceph::Error(name + " was written with another unit or count");
    }
    bytes += from.substr(turn / count_ * unit_, unit_);
  }
  return bytes;
}

std::size_t RadosStriper::size(const std::string& name) const { return ceph::number(pool_.read(name + ".size")); }

#if CEPH_RELEASE >= 2
void RadosStriper::truncate(const std::string& name, std::size_t size) {
  std::string bytes = read(name);
  bytes.resize(size);
  write(name, bytes);
}
#endif

}  // namespace libradosstriper
