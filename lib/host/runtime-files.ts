import { readdirSync } from 'node:fs';

/**
 * Files and directories of language runtimes and document tools that distributions keep outside /usr. Without them Java
 * does not start, R has no options, and graphviz finds no font. All of them are meant for every user. A directory that
 * may contain secrets is never listed as a whole (maven/settings.xml, R/Renviron.site, npmrc, php/8.2/fpm,
 * mysql/debian.cnf). Only world-readable files in them can be read, because no owner is mapped to the sandbox's id.
 * Each existing entry is a mount of its own and costs about 30 µs, so files that programs can do without are left out.
 */
const files: readonly string[] = [
  // Services, protocols and media types.
  '/etc/services',
  '/etc/protocols',
  '/etc/mime.types',
  // Documents, fonts and images.
  '/etc/fonts',
  '/var/cache/fontconfig',
  '/etc/ghostscript',
  '/var/lib/ghostscript',
  '/etc/groff',
  '/etc/texmf',
  '/var/lib/texmf',
  '/var/lib/tex-common',
  '/etc/sgml',
  '/etc/xml',
  '/var/lib/sgml-base',
  '/var/lib/xml-core',
  '/var/lib/aspell',
  '/var/lib/ispell',
  '/var/lib/dictionaries-common',
  '/etc/libreoffice/sofficerc',
  '/etc/libreoffice/psprint.conf',
  '/etc/libreoffice/registry',
  '/var/lib/libreoffice',
  '/etc/vulkan',
  '/etc/OpenCL',
  // Runtimes.
  '/etc/maven/m2.conf',
  '/etc/maven/logging',
  '/etc/R/Renviron',
  '/etc/R/Makeconf',
  '/etc/R/ldpaths',
  '/etc/R/repositories',
  '/etc/mono',
  '/etc/dotnet/install_location',
  '/etc/octaverc',
  '/etc/nim',
  '/etc/racket/config.rktd',
  '/etc/sbclrc',
  '/var/lib/gems',
  '/var/lib/ghc',
];

/** Directories whose names contain a version: parent directory, pattern of the name, and paths inside. */
const versions: readonly (readonly [directory: string, name: RegExp, inside: readonly string[]])[] = [
  ['/etc', /^java-\d+-[a-z]+$/, ['']],
  ['/etc', /^ImageMagick-\d+$/, ['']],
  ['/etc', /^GraphicsMagick-[\d.]+$/, ['']],
  ['/etc/php', /^\d+\.\d+$/, ['/cli', '/mods-available']],
];

/** Returns the paths that may exist on this machine. */
export const runtimeFiles = (): readonly string[] => [
  ...files,
  ...versions.flatMap(([directory, pattern, inside]) =>
    namesIn(directory)
      .filter((name) => pattern.test(name))
      .flatMap((name) => inside.map((rest) => `${directory}/${name}${rest}`)),
  ),
];

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
