#include "common/crc32c.h"

#include <array>

static constexpr auto make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    table[byte] = byte;
    for (int bit = 0; bit < 8; ++bit) {
      table[byte] = (table[byte] >> 1) ^ (table[byte] & 1 ? 0x82f63b78 : 0);  // the polynomial, reflected
    }
  }
  return table;
}

std::uint32_t ceph_crc32c(std::string_view bytes) {
  static constexpr auto table = make_table();
  std::uint32_t crc = ~0u;
  for (const unsigned char byte : bytes) {
    crc = table[(crc ^ byte) & 0xff] ^ (crc >> 8);
  }
  return ~crc;
}
