module.exports = {
  rootDir: 'dist-test',
  testEnvironment: 'node',
  transform: {},
  setupFilesAfterEnv: ['<rootDir>/support/close-left.js'],
  testTimeout: 60_000,
  // Every kernel test uses both cores already.
  maxWorkers: 1,
};
