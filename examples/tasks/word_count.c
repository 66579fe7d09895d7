// Count lines, words and bytes of standard input, as wc does in the C locale.
#include <stdint.h>
#include <stdio.h>

static int is_space(int byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

int main(void) {
  uint64_t lines = 0, words = 0, bytes = 0;
  int in_word = 0, byte;
  while ((byte = getchar()) != EOF) {
    bytes++;
    lines += byte == '\n';
    if (is_space(byte)) {
      in_word = 0;
    } else if (!in_word) {
      in_word = 1;
      words++;
    }
  }
  if (ferror(stdin)) return 1;
  printf("%llu %llu %llu\n", (unsigned long long)lines, (unsigned long long)words,
         (unsigned long long)bytes);
  return fflush(stdout) ? 1 : 0;
}
