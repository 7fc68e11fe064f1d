// One session: OPEN, packets within the credit, END, and an account that is checked.
import { createHash, randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { decodeResponse, encodeRequest } from "./messages.mjs";

const ACKNOWLEDGED_SHARE = 4; // acknowledge at the latest when so much of what may go unread has been read
const GROUP_PACKETS = 8; // a message costs the server the same, however many packets it holds
const UNBOUNDED = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

const definition = protoLoader.loadSync(fileURLToPath(new URL("inference.proto", import.meta.url)), {
  keepCase: true,
  longs: Number,
});
const { GRPCInferenceService } = grpc.loadPackageDefinition(definition).inference;

/** What the server says of a session that failed; `code` is one of docs/errors.md. */
export class SessionError extends Error {
  constructor({ code, message, advice, retryable }) {
    super(`${code}: ${message} ${advice}`);
    this.code = code;
    this.isRetryable = retryable;
  }
}

/**
 * Stream a video and return {opened, packets, drops, ended}, once the server's account is found to be right.
 *
 * `video` and `output` are OPEN's fields of these names; packets are {seq, pts, payload, isKeyframe}.
 * Throws SessionError, or the Error of gRPC where no server answers.
 */
export async function streamVideo(address, video, packets, { network, output, token }) {
  const client = new GRPCInferenceService(address, grpc.credentials.createInsecure(), UNBOUNDED);
  const metadata = new grpc.Metadata();
  if (token) metadata.set("authorization", `Bearer ${token}`);
  const stream = client.ModelStreamInfer(metadata);
  try {
    return await new Session(stream, network, packets).run({ video, output, network, open_key: randomUUID(), acknowledges: true });
  } finally {
    stream.cancel(); // only of effect where the session did not come to its end
    client.close();
  }
}

class Session {
  constructor(stream, network, packets) {
    this.stream = stream;
    this.model = `${network}_streaming`;
    this.given = packets;
    this.numSent = this.bytesSent = 0;
    this.id = "";
    this.early = new Map(); // answers that overtook another one, by number
    this.nextNumber = 0;
    this.unacknowledgedBytes = 0;
    this.result = { packets: [], drops: [] };
  }

  async run(open) {
    this.post("open", open);
    for await (const response of this.stream) this.takeInOrder(decodeResponse(response));
    if (!this.result.ended) throw new Error("The server is gone, and the session with it.");
    return this.result;
  }

  /** Take answers by their number: over different requests, they come in any order. */
  takeInOrder(message) {
    if (!message.answer_id) return this.take(message); // the refusal of one request, or a server that numbers nothing
    this.early.set(message.answer_id[0], message);
    for (let next; (next = this.early.get(this.nextNumber)); this.nextNumber += 1) {
      this.early.delete(this.nextNumber);
      this.acknowledged = next.answer_id;
      this.take(next);
    }
  }

  take(message) {
    switch (message.kind) {
      case "opened":
        this.id = message.session_id;
        this.result.opened = message;
        return this.sendWithin(message.credit);
      case "output":
        this.result.packets.push(...message.packets);
        this.result.drops.push(...message.drops);
        this.unacknowledgedBytes += message.packets.reduce((sum, { payload }) => sum + payload.length, 0);
        this.sendWithin(message.credit);
        return this.acknowledge();
      case "ended":
        this.result.ended = message;
        this.stream.end(); // no request follows
        return this.checkAccount();
      case "failed":
        throw new SessionError(message);
      // `migrate` asks for a new session on another server. This client has but one and stays as long as it may.
    }
  }

  /** Send what the credit allows, which counts from OPEN on; after the last packet, END. */
  sendWithin(credit) {
    if (this.numSent === this.given.length) return;
    for (let group; (group = this.nextGroup(credit)).length; ) {
      const received = this.result.packets.length + this.result.drops.length;
      this.post("packets", { received, acknowledged: this.acknowledged }, group);
      this.unacknowledgedBytes = 0;
    }
    if (this.numSent === this.given.length) this.post("end", { next_seq: this.given.length });
  }

  /** Say what was read, if it is much: the server waits for it. */
  acknowledge() {
    const limit = this.result.opened.unacknowledged_bytes;
    if (!this.acknowledged || this.unacknowledgedBytes * ACKNOWLEDGED_SHARE < limit) return;
    this.post("acknowledge", { acknowledged: this.acknowledged });
    this.unacknowledgedBytes = 0;
  }

  nextGroup(credit) {
    const group = [];
    while (group.length < GROUP_PACKETS && this.numSent < Math.min(credit.packets, this.given.length)) {
      const packet = this.given[this.numSent];
      if (this.bytesSent + packet.payload.length > credit.bytes) break;
      group.push(packet);
      this.numSent += 1;
      this.bytesSent += packet.payload.length;
    }
    return group;
  }

  post(kind, fields, packets) {
    this.stream.write(encodeRequest(this.model, this.id, kind, fields, packets));
  }

  /** Compare the server's account with what came: every packet ended once, and no byte differs. */
  checkAccount() {
    const { packets, drops, ended } = this.result;
    const digest = createHash("sha256");
    packets.forEach(({ payload }) => digest.update(payload));
    const answers = [...packets.map(({ seq }) => seq), ...drops.map(([seq]) => seq)];
    const isWhole = answers.length === this.given.length && new Set(answers).size === answers.length;
    if (!isWhole || ended.frames_out !== packets.length || ended.digest !== digest.digest("hex")) {
      throw new Error("What came back is not what the server says it sent.");
    }
  }
}
