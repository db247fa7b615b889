import { readdirSync } from 'node:fs';

/**
 * What distributions keep of language runtimes and tools for documents outside /usr: without it Java does not start, R has no options, and graphviz
 * finds no font. Names of files and directories that are there for everybody; never all of a directory that may hold secrets (maven/settings.xml,
 * R/Renviron.site, npmrc, php/8.2/fpm, mysql/debian.cnf). In each only what others may read can be read: nothing is mapped to the sandbox's id.
 * Each that is there is a mount of its own, some 30 µs: what only configures what works without is left out.
 */
const files: readonly string[] = [
  // Names of services, protocols, types and systems.
  '/etc/services',
  '/etc/protocols',
  '/etc/mime.types',
  // Documents, fonts and pictures.
  '/etc/fonts',
  '/var/cache/fontconfig',
  '/etc/ghostscript',
  '/var/lib/ghostscript',
  '/etc/texmf',
  '/var/lib/texmf',
  '/etc/libreoffice/sofficerc',
  '/etc/libreoffice/registry',
  '/etc/vulkan',
  '/etc/OpenCL',
  // Runtimes.
  '/etc/java/java.conf',
  '/etc/java/security',
  '/etc/maven/m2.conf',
  '/etc/maven/logging',
  '/etc/ant/ant.conf',
  '/etc/R/Renviron',
  '/etc/R/Makeconf',
  '/etc/R/ldpaths',
  '/etc/R/repositories',
  '/etc/R/javaconf',
  '/etc/mono',
  '/etc/dotnet/install_location',
  '/etc/octave.conf',
  '/etc/maxima',
  '/etc/scala',
  '/etc/lua',
  '/etc/guile',
  '/etc/swipl',
  '/var/lib/gems',
  '/var/lib/ghc',
];

/** The same, of which there are several versions: a directory, and what in it. */
const versions: readonly (readonly [folder: string, name: RegExp, inside: readonly string[]])[] = [
  ['/etc', /^java-\d+-[a-z]+$/, ['']],
  ['/etc', /^ImageMagick-\d+$/, ['']],
  ['/etc', /^GraphicsMagick-[\d.]+$/, ['']],
  ['/etc/php', /^\d+\.\d+$/, ['/cli', '/mods-available']],
  ['/etc/erlang', /^\d+$/, ['']],
  ['/etc/tcl', /^\d+\.\d+$/, ['']],
];

/** Those that may be on this machine. */
export const runtimeFiles = (): readonly string[] => [
  ...files,
  ...versions.flatMap(([folder, pattern, inside]) =>
    namesIn(folder)
      .filter((name) => pattern.test(name))
      .flatMap((name) => inside.map((rest) => `${folder}/${name}${rest}`)),
  ),
];

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
