/** "Did you mean": the word that a mistyped one was probably meant to be. */

/** The candidate nearest to `word`, undefined when none is near: two edits at most, or one it abbreviates. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const typed = word.toLowerCase().replaceAll("-", "_");
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const wanted = candidate.replaceAll("-", "_");
    const abbreviates = typed.length >= 3 && wanted.startsWith(typed);
    const distance = abbreviates ? 0.5 : editDistance(typed, wanted);
    // Short words are near to everything: one edit for every three letters.
    if (distance < bestDistance && (abbreviates || distance <= Math.min(2, Math.ceil(wanted.length / 3)))) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Optimal string alignment: insertions, deletions, substitutions and swaps of neighbors. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1;
      let least = Math.min(last[column] + 1, current[column - 1] + 1, last[column - 1] + cost);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        least = Math.min(least, beforeLast[column - 2] + 1);
      }
      current.push(least);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length];
}
