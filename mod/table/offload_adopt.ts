/** How the flows that an earlier ku left become sessions again: OffloadTable.adopt. */

/** The session that a flow was made into again. */
export interface Adopted {
  entry: number;
  service: number;
  pod: number;
  /** Packets and bytes of both directions that somebody was told of before: 0 if absent. */
  told?: Float64Array;
}

/** See OffloadTable.adopt. */
export type AdoptVisitor = (
  flow: number,
  protocol: number,
  isWide: boolean,
  original: Int32Array,
  reply: Int32Array,
) => Adopted | null;
