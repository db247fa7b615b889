// The unit layer, with the branch coverage of the code that needs no kernel.
module.exports = {
  ...require('./jest.config'),
  rootDir: __dirname,
  roots: ['<rootDir>/dist-test/unit'],
  // No sandbox is opened, so none can be left.
  setupFilesAfterEnv: [],
  // The modules themselves instead of the files that are shipped, so that each has its own coverage.
  moduleNameMapper: {
    '^nsjs$': '<rootDir>/build/lazy/index.js',
    '/dist/(.*)$': '<rootDir>/build/lazy/$1',
    '/package-root$': '<rootDir>/dist-test/support/package-root.js',
  },
  collectCoverage: true,
  coverageDirectory: 'build/coverage',
  coverageReporters: ['json'],
  // Whole directories where nothing needs a kernel, and single files of others.
  collectCoverageFrom: [
    'build/lazy/{base,netlink,plan,seccomp,tar}/**/*.js',
    'build/lazy/cgroup/{files,hierarchies,limits,settings}.js',
    'build/lazy/dbus/message.js',
    'build/lazy/egress/{client-guard,detect-protocol,dns-message,hello-shape,http-text,name-addresses}.js',
    'build/lazy/features/egress-rules.js',
    'build/lazy/launcher/{fact-texts,hints,outcome,record}.js',
    'build/lazy/options/{command,merge}.js',
    'build/lazy/proc/{mountinfo,stat}.js',
    'build/lazy/report/kernel-facts.js',
  ],
};
