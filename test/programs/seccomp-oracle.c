// Reads a policy from stdin and writes the filter that libseccomp compiles from it to stdout, as struct sock_filter[].
// Lines: `default ACTION`, then `rule ACTION NAME [INDEX OP VALUE MASK]…`; ACTION is SECCOMP_RET_* in hexadecimal.
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum scmp_compare comparison(const char* op) {
  static const char* const names[] = {"ne", "lt", "le", "eq", "ge", "gt", "masked"};
  for (unsigned index = 0; index < 7; ++index)
    if (strcmp(op, names[index]) == 0) return (enum scmp_compare)(SCMP_CMP_NE + index);
  exit(2);
}

int main(void) {
  char line[4096];
  scmp_filter_ctx context = NULL;
  while (fgets(line, sizeof line, stdin)) {
    const char* word = strtok(line, " \n");
    const unsigned action = (unsigned)strtoul(strtok(NULL, " \n"), NULL, 16);
    if (strcmp(word, "default") == 0) {
      context = seccomp_init(action);
      continue;
    }
    const int number = seccomp_syscall_resolve_name(strtok(NULL, " \n"));
    struct scmp_arg_cmp conditions[6];
    unsigned count = 0;
    for (const char* index; count < 6 && (index = strtok(NULL, " \n")) != NULL; ++count) {
      conditions[count].arg = (unsigned)atoi(index);
      conditions[count].op = comparison(strtok(NULL, " \n"));
      conditions[count].datum_a = strtoull(strtok(NULL, " \n"), NULL, 16);
      conditions[count].datum_b = strtoull(strtok(NULL, " \n"), NULL, 16);
    }
    const int result = seccomp_rule_add_array(context, action, number, count, conditions);
    if (result != 0) return 3;
  }
  return context != NULL && seccomp_export_bpf(context, 1) == 0 ? 0 : 4;
}
