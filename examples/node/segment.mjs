// Streams an IVF file with VP8 or VP9 through a segtriton server and writes the segmented video as IVF, or the masks as PGM.
import { isKeyframe, readIvf, writeIvf } from "./ivf.mjs";
import { writeMasks } from "./pgm.mjs";
import { streamVideo } from "./session.mjs";

const USAGE = "usage: node segment.mjs HOST:PORT INPUT.ivf OUTPUT [OUTPUT-OF-OPEN-AS-JSON]";

async function main([address, source, target, output = "{}"]) {
  const { codec, width, height, timeBase, packets } = readIvf(source);
  const video = { codec, width, height, time_base: timeBase, framing: "raw", color: {} };
  const numbered = packets.map((packet, seq) => ({ ...packet, seq, isKeyframe: isKeyframe(codec, packet.payload) }));
  const options = { network: "selfie", output: JSON.parse(output), token: process.env.SEGTRITON_TOKEN };
  const result = await streamVideo(address, video, numbered, options);
  write(target, timeBase, result);
  const { decoder, encoder } = result.opened;
  console.log(`${result.packets.length} frames, ${result.drops.length} dropped, ${decoder} to ${encoder}`);
}

function write(target, timeBase, { opened, packets }) {
  const size = [opened.output_width, opened.output_height];
  if (opened.output_codec === "rawmask_zlib") return writeMasks(target, size, packets);
  const headers = Buffer.from(opened.output_extradata, "base64");
  writeIvf(target, opened.output_codec, size, timeBase, headers, packets);
}

if (process.argv.length < 5) {
  console.error(USAGE);
  process.exitCode = 2;
} else {
  await main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
