// PGM: a few lines of text, then a byte for each cell; one picture after the other.
import { writeFileSync } from "node:fs";
import { inflateSync } from "node:zlib";

/** Write the packets of encoder `mask`, each with its pts in a comment. */
export function writeMasks(path, [width, height], packets) {
  const pictures = packets.flatMap(({ pts, payload }) => [
    Buffer.from(`P5\n# pts ${pts}\n${width} ${height}\n255\n`),
    inflateSync(payload),
  ]);
  writeFileSync(path, Buffer.concat(pictures));
}
