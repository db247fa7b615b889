// The unit layer, with the branch coverage of the code that needs no kernel.
module.exports = {
  ...require('./jest.config'),
  rootDir: __dirname,
  roots: ['<rootDir>/dist-test/unit'],
  // No sandbox is opened, so none can be left.
  setupFilesAfterEnv: [],
  collectCoverage: true,
  coverageDirectory: 'build/coverage',
  coverageReporters: ['json'],
  // Whole directories where nothing needs a kernel, and single files of others.
  collectCoverageFrom: [
    'dist/{base,netlink,plan,seccomp,tar}/**/*.js',
    'dist/cgroup/{files,hierarchies,limits,settings}.js',
    'dist/dbus/message.js',
    'dist/egress/{client-guard,detect-protocol,dns-message,hello-shape,http-text,name-addresses}.js',
    'dist/features/egress-rules.js',
    'dist/launcher/{fact-texts,hints,outcome,record}.js',
    'dist/options/{command,merge}.js',
    'dist/proc/{mountinfo,stat}.js',
    'dist/report/kernel-facts.js',
  ],
};
