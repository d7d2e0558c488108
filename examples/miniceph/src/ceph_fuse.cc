// ceph-fuse: the files of the file system, as far as they can be had without the kernel's help.

#include <iostream>

#include "cephfs/libcephfs.hpp"
#include "common/tool.h"

static constexpr char kUsage[] = "read PATH | write PATH <FILE   [--pool=rbd] [--data=FOLDER]";

static int fuse(const ceph::Arguments& given) {
  CephFS files(librados::Rados(given.data()).open(given.option("pool", "rbd")));
  if (given.word(0) == "read") {
    std::cout << files.read(given.word(1));
  } else if (given.word(0) == "write") {
    files.write(given.word(1), ceph::all_of(std::cin));
  } else {
    throw ceph::Error("no command " + given.word(0));
  }
  return 0;
}

int main(int argc, char** argv) { return ceph::run(argc, argv, kUsage, fuse); }
