#include "crush/crush.h"

#include <algorithm>
#include <cstdint>

namespace crush {

// The same on every machine, as where an object lies rests on it.
static std::uint64_t hash_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const unsigned char byte : text) {
    hash = (hash ^ byte) * 0x100000001b3;
  }
  // Its upper bits are alike for short texts; splitmix64's last steps spread them.
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return hash ^ (hash >> 31);
}

std::vector<int> place(const std::string& group, const std::vector<int>& devices, std::size_t count) {
  std::vector<std::pair<std::uint64_t, int>> straws;
  for (const int device : devices) {
    straws.emplace_back(hash_of(group + "/osd." + std::to_string(device)), device);
  }
  std::sort(straws.rbegin(), straws.rend());
  std::vector<int> placed;
  for (std::size_t i = 0; i < std::min(count, straws.size()); ++i) {
    placed.push_back(straws[i].second);
  }
  return placed;
}

std::string group_of(const std::string& pool, const std::string& object) {
  return pool + "." + std::to_string(hash_of(object) % 32);
}

}  // namespace crush
