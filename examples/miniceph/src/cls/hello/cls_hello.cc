// The class that Ceph's documentation starts with: it greets, and can remember whom.

#include "ceph_ver.h"
#include "cls/objclass.h"
#include "common/plugin.h"
#include "common/tool.h"

CEPH_PLUGIN

extern "C" std::string __cls_call(const std::string& method, std::string& object, const std::string& input) {
  const std::string greeting = "Hello, " + (input.empty() ? "world" : input) + "!";
  if (method == "say_hello") {
    return greeting;
  }
  if (method == "record_hello") {
    object = greeting;
    return "";
  }
  if (method == "replay") {
    return object;
  }
  throw ceph::Error("class hello has no method " + method);
}
