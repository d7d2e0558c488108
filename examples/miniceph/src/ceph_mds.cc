// ceph-mds: serves the names of the file system.

#include <iostream>

#include "cephfs/libcephfs.hpp"
#include "common/tool.h"

static constexpr char kUsage[] = "tree   [--pool=rbd] [--data=FOLDER]";

static void tree(const CephFS& files, const std::string& folder) {
  for (const auto& name : files.list(folder)) {
    std::cout << folder << name << '\n';
    if (name.back() == '/') {
      tree(files, folder + name);
    }
  }
}

static int mds(const ceph::Arguments& given) {
  if (given.word(0) != "tree") {
    throw ceph::Error("no command " + given.word(0));
  }
  tree(CephFS(librados::Rados(given.data()).open(given.option("pool", "rbd"))), "/");
  return 0;
}

int main(int argc, char** argv) { return ceph::run(argc, argv, kUsage, mds); }
