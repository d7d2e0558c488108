// ceph-mgr: watches how evenly the objects lie on the devices.

#include <iostream>

#include "common/tool.h"
#include "os/ObjectStore.h"
#include "osd/OSDMap.h"

static constexpr char kUsage[] = "balance   [--data=FOLDER]";

static int mgr(const ceph::Arguments& given) {
  if (given.word(0) != "balance") {
    throw ceph::Error("no command " + given.word(0));
  }
  const OSDMap map = OSDMap::load(given.data());
  for (const int osd : map.osds) {
    std::size_t count = 0;
    for (const auto& pool : map.pools) {
      count += ObjectStore(given.data(), osd).list(pool).size();
    }
    std::cout << "osd." << osd << ": " << count << " objects\n";
  }
  return 0;
}

int main(int argc, char** argv) { return ceph::run(argc, argv, kUsage, mgr); }
