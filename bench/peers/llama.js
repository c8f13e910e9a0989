#!/usr/bin/env -S UV_THREADPOOL_SIZE=1 node
// llama.cpp on a model file: tokens a second of reading and of writing, as JSON in the shape of `longspan bench --json`.
// The same work: random tokens; reading in batches of 512 that ends with the logits of the last token; writing token by
// token. Depth has to be read here, and is not timed.
//
// Node hands each pass to a thread of its pool. From several of them in turn, llama.cpp loses 5 ms a token, hence one.
import {parseArgs} from "node:util";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const {values: options, positionals} = parseArgs({
    allowPositionals: true,
    options: {
        threads: {type: "string", default: "0"},
        depths: {type: "string", default: "0"},
        prefill: {type: "string", default: "512"},
        tokens: {type: "string", default: "16"},
        prompt: {type: "string", default: "0"},
        repetitions: {type: "string", default: "3"}
    }
});
if (positionals.length !== 1) {
    console.error("usage: llama.js MODEL [--threads N] [--depths N,...] [--prefill N] [--tokens N] [--prompt N]");
    process.exit(2);
}
if (process.env.UV_THREADPOOL_SIZE !== "1") console.error("llama.js: slower than need be without UV_THREADPOOL_SIZE=1");
const depths = options.depths.split(",").map(Number).sort((a, b) => a - b);
const [prefill, tokens, prompt, repetitions] =
    ["prefill", "tokens", "prompt", "repetitions"].map((name) => Number(options[name]));

const llama = await getLlama({gpu: false, build: "never", maxThreads: 0, logLevel: LlamaLogLevel.error});
const threads = Number(options.threads) || llama.cpuMathCores;
const model = await llama.loadModel({modelPath: positionals[0], gpuLayers: 0, useMmap: true, lazyMode: false});
const context = await model.createContext({
    contextSize: Math.max(prompt, depths.at(-1) + Math.max(prefill, tokens)) + 64,  // the last places are never filled
    batchSize: 512,
    threads: {ideal: threads, min: threads},
    flashAttention: true
});
const sequence = context.getSequence();

const vocabulary = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
const randomTokens = (n) => Array.from({length: n}, () => Math.floor(Math.random() * vocabulary));
// The tokens that are read and written are given, whatever the model would have chosen.
const evaluation = (first) => sequence.evaluate(first, {temperature: 0, yieldEogToken: true});

async function setDepth(depth) {
    const length = sequence.nextTokenIndex;
    if (length > depth) await sequence.eraseContextTokenRanges([{start: depth, end: length}]);
    else if (length < depth) await sequence.evaluateWithoutGeneratingNewTokens(randomTokens(depth - length));
    if (sequence.nextTokenIndex !== depth) throw new Error(`depth ${depth}: holds ${sequence.nextTokenIndex} tokens`);
}

async function read(n) {
    const reader = evaluation(randomTokens(n));
    await reader.next();
    await reader.return();
}

async function write(n) {
    const given = randomTokens(n);
    const writer = evaluation([given[0]]);
    await writer.next();
    for (const token of given.slice(1)) await writer.next(token);
    await writer.return();
}

const results = [];
async function measure(work, depth, n, times, body) {
    const seconds = [];
    for (let i = 0; i < times; ++i) {
        await setDepth(depth);
        const start = process.hrtime.bigint();
        await body(n);
        seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
        if (sequence.nextTokenIndex !== depth + n) throw new Error(`${work}: holds ${sequence.nextTokenIndex} tokens`);
    }
    seconds.sort((a, b) => a - b);
    const best = seconds[0], median = (seconds[(times - 1) >> 1] + seconds[times >> 1]) / 2;
    results.push({
        work, depth, tokens: n, sequences: 1, repetitions: times, seconds: {best, median},
        tokens_per_second: {best: n / best, median: n / median}
    });
}

await write(1);  // reads the file
for (const depth of depths) if (prefill > 0) await measure("prefill", depth, prefill, repetitions, read);
if (prompt > 0) await measure("prompt", 0, prompt, 1, read);
for (const depth of depths) if (tokens > 0) await measure("decode", depth, tokens, repetitions, write);

console.log(JSON.stringify({
    program: `llama.cpp ${llama.llamaCppRelease.release}`,
    system: llama.systemInfo.trim(),
    threads: context.currentThreads,
    model: {path: positionals[0]},
    results
}, null, 2));
process.exit(0);
