#include "ceph_ver.h"
#include "common/plugin.h"
#include "common/tool.h"
#include "erasure-code/ErasureCode.h"

CEPH_PLUGIN

extern "C" std::string __erasure_code(const std::vector<std::string>& chunks) {
  std::string sum(chunks.at(0).size(), '\0');
  for (const auto& chunk : chunks) {
    if (chunk.size() != sum.size()) {
      throw ceph::Error("chunks are not of equal length");
    }
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] ^= chunk[i];
    }
  }
  return sum;
}
