{
  "variables": {
    "launcher_sources": ["src/plan/reader.cc", "<!@(ls src/launch/*.cc src/launch/ops/*.cc)"],
    "launcher_flags": [
      "-std=c++20", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-exceptions", "-fno-rtti", "-fno-pic",
      "-fno-stack-protector", "-fno-tree-loop-distribute-patterns", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
      "-fno-threadsafe-statics", "-fomit-frame-pointer", "-flto", "-ffunction-sections", "-fdata-sections", "-fvisibility=hidden"
    ]
  },
  "target_defaults": {
    "conditions": [
      ["target_arch=='x64'", { "cflags": ["-fcf-protection=full"] }],
      ["target_arch=='arm64'", { "cflags": ["-mbranch-protection=standard"] }]
    ]
  },
  "targets": [
    {
      "target_name": "nsjs-launcher",
      "type": "executable",
      "sources": ["<@(launcher_sources)"],
      "include_dirs!": ["<(node_root_dir)/include/node"],
      "cflags!": ["-fPIC", "-pthread", "-O3", "-fno-omit-frame-pointer", "-fcf-protection=full"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["<@(launcher_flags)"],
      "ldflags!": ["-pthread", "-rdynamic", "-m64"],
      "ldflags": [
        "-flto", "-nostdlib", "-static", "-no-pie", "-s", "-Wl,--gc-sections", "-Wl,-z,noexecstack", "-Wl,-z,norelro", "-Wl,-z,noseparate-code",
        "-Wl,--build-id=none", "-Wl,-Map=<(PRODUCT_DIR)/nsjs-launcher.map"
      ],
      "libraries!": ["-ldl", "-lrt"]
    },
    {
      "target_name": "nsjs",
      "dependencies": ["nsjs-launcher"],
      "sources": ["<!@(ls src/addon/*.cc)", "<(INTERMEDIATE_DIR)/image.S"],
      "actions": [{
        "action_name": "embed_launcher",
        "inputs": ["scripts/build/embed.mjs", "<(PRODUCT_DIR)/nsjs-launcher"],
        "outputs": ["<(INTERMEDIATE_DIR)/image.S"],
        "action": ["node", "scripts/build/embed.mjs", "<(PRODUCT_DIR)/nsjs-launcher", "<(INTERMEDIATE_DIR)/image.S"]
      }],
      "includes": ["node_modules/node-addon-api/noexcept.gypi"],
      "include_dirs": ["node_modules/node-addon-api"],
      # Without it, offsets have 64 bits too, and the names are those that glibc and musl share (mmap, not mmap64).
      "defines!": ["_FILE_OFFSET_BITS=64"],
      "defines": ["NAPI_VERSION=9", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags": ["-fvisibility=hidden", "-fstack-protector-strong", "-fstack-clash-protection", "-ffunction-sections", "-fdata-sections", "-Wall", "-Wextra", "-Werror"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=c++20", "-fvisibility-inlines-hidden", "-Os", "-fno-exceptions", "-fno-rtti"],
      "ldflags": ["-s", "-nodefaultlibs", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack", "-Wl,--gc-sections", "-Wl,--version-script=<(module_root_dir)/src/addon/exports.map"],
      "configurations": { "Release": { "defines": ["_FORTIFY_SOURCE=2", "_GLIBCXX_ASSERTIONS"] } }
    }
  ]
}
