/** Names of the files that init sends, in the order in which it sends them. */
const programFiles = ['status', 'uid_map', 'gid_map'] as const;

/** Contents of /proc files that a launcher has sent, by name. */
export class FactTexts {
  private readonly texts = new Map<string, string>();

  add(name: string, part: string): void {
    this.texts.set(name, (this.texts.get(name) ?? '') + part);
  }

  /** Adds a part of a program's file; `step` is the index of its name in `programFiles`. */
  addProgram(step: number, part: string): void {
    const name = programFiles[step];
    if (name) this.add(name, part);
  }

  get isEmpty(): boolean {
    return this.texts.size === 0;
  }

  get(name: string): string | undefined {
    return this.texts.get(name);
  }
}
