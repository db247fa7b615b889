#!/bin/sh
# each.sh SECONDS SIZE COMMAND … -- FILE …: runs a command for test files, SIZE at a time, because the start of jest
# takes half a minute in an emulated machine. If they take longer than the time limit for so many files, each of them is
# run alone. One that still takes longer counts as one failed test.
limit=$1 size=$2 command= status=0
shift 2
while [ "$1" != -- ]; do command="$command $1"; shift; done
shift
# run FILE …: returns 2 after the time limit.
run() {
  echo "each: $*, $(cut -d' ' -f1 /proc/uptime) s after boot"
  timeout -k 10 $((limit * $#)) $command "$@"
  case $? in
  0) return 0 ;;
  124 | 137) return 2 ;;
  *) return 1 ;;
  esac
}
alone() {
  for file in "$@"; do
    run "$file"
    code=$?
    [ $code -eq 0 ] || status=1
    [ $code -ne 2 ] || echo "Tests: 1 failed, $file was still running after $limit s"
  done
}
while [ $# -gt 0 ]; do
  files= count=0
  while [ $# -gt 0 ] && [ $count -lt "$size" ]; do
    files="$files $1" count=$((count + 1))
    shift
  done
  run $files
  case $? in
  1) status=1 ;;
  2) alone $files ;;
  esac
done
exit $status
