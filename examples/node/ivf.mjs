// IVF: a header of 32 bytes, then for each frame its size, its pts and its bytes; little-endian.
import { readFileSync, writeFileSync } from "node:fs";

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 12;
const INPUT_CODECS = { VP80: "vp8", VP90: "vp9" };
const OUTPUT_FOURCCS = { h264: "H264", mjpeg: "MJPG" };

/** Read a file: its codec, size in pixels, time base [numerator, denominator], and packets of {pts, payload}. */
export function readIvf(path) {
  const file = readFileSync(path);
  const codec = INPUT_CODECS[file.toString("latin1", 8, 12)];
  if (file.toString("latin1", 0, 4) !== "DKIF" || !codec) throw new Error(`${path} is no IVF file with VP8 or VP9.`);
  const packets = [];
  for (let at = file.readUInt16LE(6); at < file.length; ) {
    const begin = at + FRAME_HEADER_BYTES;
    const end = begin + file.readUInt32LE(at);
    packets.push({ pts: file.readBigInt64LE(at + 4), payload: file.subarray(begin, end) });
    at = end;
  }
  const timeBase = [file.readUInt32LE(20), file.readUInt32LE(16)];
  return { codec, width: file.readUInt16LE(12), height: file.readUInt16LE(14), timeBase, packets };
}

/** Whether a packet can be decoded without those before it. */
export function isKeyframe(codec, payload) {
  if (codec === "vp8") return (payload[0] & 0x01) === 0;
  return (payload[0] & 0x0c) === 0; // neither show_existing_frame nor a frame_type of 1, in profiles 0 to 2
}

/** Write packets of {pts, payload}, with `headers` before the first. */
export function writeIvf(path, codec, [width, height], timeBase, headers, packets) {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("DKIF");
  header.writeUInt16LE(HEADER_BYTES, 6);
  header.write(OUTPUT_FOURCCS[codec], 8);
  header.writeUInt16LE(width, 12);
  header.writeUInt16LE(height, 14);
  header.writeUInt32LE(timeBase[1], 16);
  header.writeUInt32LE(timeBase[0], 20);
  header.writeUInt32LE(packets.length, 24);
  const frames = packets.map(({ pts, payload }, number) =>
    encodeFrame(pts, number ? payload : Buffer.concat([headers, payload])),
  );
  writeFileSync(path, Buffer.concat([header, ...frames]));
}

function encodeFrame(pts, payload) {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt32LE(payload.length);
  header.writeBigInt64LE(pts, 4);
  return Buffer.concat([header, payload]);
}
