// Language runtimes and document tools as a distribution installs them, with many of their files outside /usr. Each
// runs a real program.
import { spawnSync } from 'node:child_process';
import { sh, testIf } from '../../support';

const has = (program: string) => spawnSync('which', [program]).status === 0;

/** For each program, which must be installed: a shell command and its expected output. */
const programs: Readonly<Record<string, readonly [line: string, printed: string | RegExp]>> = {
  python3: [`python3 -c 'import json, sqlite3, ssl, xml.etree.ElementTree as e; print(e.fromstring("<a b=\\"7\\"/>").get("b"))'`, '7'],
  perl: [`perl -MJSON::PP -MDigest::SHA=sha1_hex -e 'print decode_json(q({"a":[7]}))->{a}[0], length sha1_hex("")'`, '740'],
  ruby: [`ruby -e 'require "json"; require "digest"; require "set"; print JSON.parse("[7]").sum, Digest::SHA1.hexdigest("").size'`, '740'],
  php: [`php -r 'echo array_sum(json_decode("[3,4]")), PHP_SAPI, extension_loaded("ctype") ? "y" : "n";'`, '7cliy'],
  Rscript: [
    `Rscript -e 'x <- c(3, 4); m <- lm(y ~ x, data.frame(x = 1:3, y = 2 * (1:3))); cat(sum(x), round(coef(m)[["x"]]), "\\n")'`,
    '7 2',
  ],
  javac: [
    `cat > Main.java <<'J'
import java.net.*; import java.security.*; import java.util.*;
class Main { public static void main(String[] a) throws Exception {
  MessageDigest.getInstance("SHA-256"); SecureRandom.getInstanceStrong();
  System.out.println(List.of(3, 4).stream().mapToInt(x -> x).sum() + " " + InetAddress.getLocalHost().getHostName() + " " + TimeZone.getDefault().getID()); } }
J
javac -J-Xmx256m Main.java && java -Xmx256m Main`,
    /^7 sandbox \S+$/,
  ],
  mvn: [`MAVEN_OPTS=-Xmx256m mvn -o -v | head -1 | cut -d' ' -f1-2`, /Apache Maven/],
  dot: [`echo 'digraph { a -> b [label="text"] }' | dot -Tsvg | grep -c '<text'`, '3'],
  convert: [`convert -size 20x10 xc:red -resize 50% png:- | identify -format '%m %wx%h' -`, 'PNG 10x5'],
  gs: [`echo '/Helvetica findfont 12 scalefont setfont 3 4 add = quit' | gs -q -dNODISPLAY -dBATCH -`, '7'],
  swipl: [`swipl -g 'use_module(library(lists))' -g 'sum_list([3, 4], X), write(X)' -g halt`, '7'],
  guile: [`guile --no-auto-compile -c '(use-modules (ice-9 match)) (match (list 3 4) ((a b) (display (+ a b))))'`, '7'],
  erl: [`erl -noshell -eval 'io:format("~p ~p", [lists:sum([3, 4]), byte_size(erlang:md5(<<>>))]), halt().'`, '7 16'],
  lua: [`lua -e 'print(3 + 4, #string.rep("x", 5))'`, '7\t5'],
  tclsh: [`echo 'package require msgcat; puts [expr {3 + 4}]; puts [clock format 0 -gmt 1 -format %Y]' | tclsh`, '7\n1970'],
  go: [
    `printf 'package main\\nimport ("fmt"; "net/http"; "mime")\\nfunc main() { fmt.Println(3 + 4, http.StatusText(200), mime.TypeByExtension(".csv")) }\\n' > a.go && GOFLAGS=-mod=mod GOCACHE=/tmp/go go run a.go`,
    /^7 OK text\/csv/,
  ],
  'fc-list': ['test "$(fc-list | wc -l)" -gt 0 && echo fonts', 'fonts'],
};

for (const [program, [line, printed]] of Object.entries(programs))
  testIf(
    has(program),
    program,
    `${program}: a program runs as on the host`,
    async () => {
      const output = await sh(`cd /tmp; ${line}`, {
        env: { HOME: '/tmp' },
        limits: { memory: '1G', pids: 256 },
        scratch: { size: '512M', inodes: 65_536 },
      });
      if (typeof printed === 'string') expect(output.trim()).toBe(printed);
      else expect(output.trim()).toMatch(printed);
    },
    120_000,
  );
