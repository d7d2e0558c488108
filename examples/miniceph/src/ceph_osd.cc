// ceph-osd: looks after one device's objects.

#include <fstream>
#include <iostream>

#include "common/plugin.h"
#include "common/tool.h"
#include "erasure-code/ErasureCode.h"
#include "os/ObjectStore.h"
#include "osd/OSDMap.h"

static constexpr char kUsage[] = "scrub ID | recover TARGET CHUNK...   [--erasure-code=xor] [--data=FOLDER]";

static int scrub(const ceph::Arguments& given) {
  const ObjectStore store(given.data(), static_cast<int>(ceph::number(given.word(1))));
  std::size_t whole = 0, damaged = 0;
  for (const auto& pool : OSDMap::load(given.data()).pools) {
    for (const auto& object : store.list(pool)) {
      const bool good = store.get(pool, object).has_value();
      (good ? whole : damaged) += 1;
      if (!good) {
        std::cout << pool << '/' << object << " is damaged\n";
      }
    }
  }
  std::cout << whole << " objects are whole, " << damaged << " are damaged\n";
  return damaged == 0 ? 0 : 1;
}

// The chunk that is missing beside the others, or the parity of a whole set: to XOR it is the same.
static int recover(const ceph::Arguments& given) {
  const auto code = reinterpret_cast<ErasureCode>(
      ceph::load_plugin("erasure-code", given.option("erasure-code", "xor"), "__erasure_code"));
  std::vector<std::string> chunks;
  for (std::size_t i = 2; i < given.words.size() || chunks.empty(); ++i) {
    std::ifstream file(given.word(i), std::ios::binary);
    chunks.push_back(ceph::all_of(file));
  }
  std::ofstream(given.word(1), std::ios::binary) << code(chunks);
  return 0;
}

static int osd(const ceph::Arguments& given) {
  if (given.word(0) == "scrub") {
    return scrub(given);
  }
  if (given.word(0) == "recover") {
    return recover(given);
  }
  throw ceph::Error("no command " + given.word(0));
}

int main(int argc, char** argv) { return ceph::run(argc, argv, kUsage, osd); }
