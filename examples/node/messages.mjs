// Messages of the protocol as gRPC messages, and back. See docs/protocol.md, "Requests" and "Responses".
const PROTOCOL_VERSION = 1;
const NO_STAMP = -(2n ** 63n);
const KEYFRAME = 1n;
const ROW = 6; // seq, size, pts, dts, duration, flags

/** Return the ModelInferRequest of a message: `fields` is its JSON object, `packets` what goes with it. */
export function encodeRequest(model, session, kind, fields, packets = []) {
  const tensors = [["MESSAGE", "UINT8", Buffer.from(JSON.stringify(fields))]];
  if (packets.length) {
    tensors.push(["PACKET_INDEX", "INT64", encodeIndex(packets), [packets.length, ROW]]);
    tensors.push(["PACKET_IN", "UINT8", Buffer.concat(packets.map((packet) => packet.payload))]);
  }
  return {
    model_name: model,
    parameters: {
      segtriton_protocol: { int64_param: PROTOCOL_VERSION },
      segtriton_message: { string_param: kind },
      segtriton_session: { string_param: session },
    },
    inputs: tensors.map(([name, datatype, bytes, shape]) => ({ name, datatype, shape: shape ?? [bytes.length] })),
    raw_input_contents: tensors.map(([, , bytes]) => bytes),
  };
}

function encodeIndex(packets) {
  const index = Buffer.alloc(8 * ROW * packets.length);
  packets.forEach(({ seq, pts, payload, isKeyframe }, number) => {
    const row = [BigInt(seq), BigInt(payload.length), pts, NO_STAMP, 0n, isKeyframe ? KEYFRAME : 0n];
    row.forEach((value, column) => index.writeBigInt64LE(value, 8 * (ROW * number + column)));
  });
  return index;
}

/** Return a ModelStreamInferResponse's JSON object, with the packets that came along; throws what Triton refused. */
export function decodeResponse({ error_message: refusal, infer_response: response }) {
  if (refusal) throw new Error(refusal);
  const tensors = Object.fromEntries(response.outputs.map(({ name }, at) => [name, response.raw_output_contents[at]]));
  return { ...JSON.parse(tensors.MESSAGE.toString()), packets: decodePackets(tensors.PACKET_INDEX, tensors.PACKET_OUT) };
}

function decodePackets(index = Buffer.alloc(0), payloads) {
  const packets = [];
  let end = 0;
  for (let row = 0; row < index.length; row += 8 * ROW) {
    const size = Number(index.readBigInt64LE(row + 8));
    const payload = payloads.subarray(end, (end += size));
    packets.push({ seq: Number(index.readBigInt64LE(row)), pts: index.readBigInt64LE(row + 16), payload });
  }
  return packets;
}
