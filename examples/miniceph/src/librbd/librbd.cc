#include "rbd/librbd.hpp"

#include "common/tool.h"

namespace librbd {

static constexpr std::size_t kBlock = 4 << 20;
static const std::string kHeader = "rbd_header.";

static std::string block(const std::string& name, std::size_t at) {
  return "rbd_data." + name + "." + std::to_string(at / kBlock);
}

std::vector<std::string> Image::list(const librados::IoCtx& pool) {
  std::vector<std::string> names;
  for (const auto& object : pool.list(kHeader)) {
    names.push_back(object.substr(kHeader.size()));
  }
  return names;
}

void Image::create(librados::IoCtx pool, const std::string& name, const std::string& bytes) {
  if (pool.exists(kHeader + name)) {
    throw ceph::Error("there is an image " + name + " already");
  }
  for (std::size_t at = 0; at < bytes.size(); at += kBlock) {
    const std::string content = bytes.substr(at, kBlock);
    if (content.find_first_not_of('\0') != std::string::npos) {
      pool.write_full(block(name, at), content);
    }
  }
  pool.write_full(kHeader + name, std::to_string(bytes.size()));
}

Image::Image(librados::IoCtx pool, const std::string& name)
    : pool_(std::move(pool)), name_(name), size_(ceph::number(pool_.read(kHeader + name))) {}

std::string Image::read() const {
  std::string bytes(size_, '\0');
  for (std::size_t at = 0; at < size_; at += kBlock) {
    if (pool_.exists(block(name_, at))) {
      bytes.replace(at, kBlock, pool_.read(block(name_, at)));
    }
  }
  return bytes;
}

}  // namespace librbd
