// load ADDON: loads the addon and calls its entry points, in a process without Node. scripts/check/load.mjs links it
// with a function for each one of Node and libuv that the addon needs; these functions do nothing.
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char** words) {
  void* addon = count == 2 ? dlopen(words[1], RTLD_NOW) : NULL;
  if (addon == NULL) {
    fprintf(stderr, "%s\n", count == 2 ? dlerror() : "usage: load ADDON");
    return 1;
  }
  int (*version)(void) = (int (*)(void))dlsym(addon, "node_api_module_get_api_version_v1");
  void* (*init)(void*, void*) = (void* (*)(void*, void*))dlsym(addon, "napi_register_module_v1");
  int env = 0;
  int exports = 0;
  if (version == NULL || init == NULL || version() < 9 || init(&env, &exports) != &exports) {
    fprintf(stderr, "%s: its entry points do not work\n", words[1]);
    return 1;
  }
  return 0;
}
