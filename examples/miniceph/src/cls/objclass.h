#pragma once

#include <string>

/// What a rados class's `__cls_call` does: run a method where an object lies, on its bytes, which it may change.
using ClassCall = std::string (*)(const std::string& method, std::string& object, const std::string& input);
