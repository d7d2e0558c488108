#pragma once

#include <cstdint>
#include <string_view>

/// The Castagnoli checksum of some bytes (RFC 3720, appendix B.4).
std::uint32_t ceph_crc32c(std::string_view bytes);
