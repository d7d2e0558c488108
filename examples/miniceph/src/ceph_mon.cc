// ceph-mon: keeps the map of the cluster.

#include <iostream>

#include "common/tool.h"
#include "osd/OSDMap.h"

static constexpr char kUsage[] = "--mkfs | --add-osd | --dump   [--data=FOLDER]";

static OSDMap make(const std::filesystem::path& data) {
  if (std::filesystem::exists(data / "osdmap")) {
    throw ceph::Error("there is a cluster in " + data.string() + " already");
  }
  std::filesystem::create_directories(data);
  return {0, {0, 1, 2}, {"rbd"}};
}

static int mon(const ceph::Arguments& given) {
  OSDMap map = given.has("mkfs") ? make(given.data()) : OSDMap::load(given.data());
  if (given.has("add-osd")) {
    map.osds.push_back(map.osds.empty() ? 0 : map.osds.back() + 1);
  }
  if (given.has("mkfs") || given.has("add-osd")) {
    map.save(given.data());
  }
  std::cout << "epoch " << map.epoch << ": " << map.osds.size() << " devices, " << map.pools.size() << " pools\n";
  return 0;
}

int main(int argc, char** argv) { return ceph::run(argc, argv, kUsage, mon); }
