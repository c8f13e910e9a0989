#!/usr/bin/env -S UV_THREADPOOL_SIZE=1 node
// llama.cpp on a model file: tokens a second of reading and of writing, as JSON in the shape of `longspan bench --json`.
// The same work: random tokens; reading in batches of 512 that ends with the logits of the last token; writing token by
// token, one sequence or several at once. Depth has to be read here, and is not timed. With --turns it measures once for
// each line of standard input, and prints each time one line of JSON.
//
// Node hands each pass to a thread of its pool. With several of them in turn,
// llama.cpp loses 5 ms a token, so the pool has one.
import {createInterface} from "node:readline";
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
        batch: {type: "string", default: "1"},
        repetitions: {type: "string", default: "3"},
        turns: {type: "boolean", default: false}
    }
});
if (positionals.length !== 1) {
    console.error("usage: llama.js MODEL [--threads N] [--depths N,...] [--prefill N] [--tokens N] [--prompt N] " +
        "[--batch N,...] [--repetitions N | --turns]");
    process.exit(2);
}
if (process.env.UV_THREADPOOL_SIZE !== "1") console.error("llama.js: slower than need be without UV_THREADPOOL_SIZE=1");
const numbers = (list) => list.split(",").map(Number).sort((a, b) => a - b);
const depths = numbers(options.depths), batches = numbers(options.batch);
const [prefill, tokens, prompt, repetitions] =
    ["prefill", "tokens", "prompt", "repetitions"].map((name) => Number(options[name]));

const llama = await getLlama({gpu: false, build: "never", maxThreads: 0, logLevel: LlamaLogLevel.error});
const threads = Number(options.threads) || llama.cpuMathCores;
const model = await llama.loadModel({modelPath: positionals[0], gpuLayers: 0, useMmap: true, lazyMode: false});

// So many sequences of up to `room` tokens each.
async function makeSequences(count, room) {
    const context = await model.createContext({
        sequences: count,
        contextSize: room + 64,  // the last places are never filled
        batchSize: 512,
        threads: {ideal: threads, min: threads},
        flashAttention: true
    });
    return Array.from({length: count}, () => context.getSequence());
}

const vocabulary = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
const randomTokens = (n) => Array.from({length: n}, () => Math.floor(Math.random() * vocabulary));

async function setDepth(sequences, depth) {
    for (const sequence of sequences) {
        const length = sequence.nextTokenIndex;
        if (length > depth) await sequence.eraseContextTokenRanges([{start: depth, end: length}]);
        else if (length < depth) await sequence.evaluateWithoutGeneratingNewTokens(randomTokens(depth - length));
    }
    check(sequences, depth);
}

function check(sequences, length) {
    for (const {nextTokenIndex} of sequences)
        if (nextTokenIndex !== length) throw new Error(`expected ${length} tokens, a sequence holds ${nextTokenIndex}`);
}

// The tokens that are read and written are given, whatever the model would have chosen.
const evaluations = (sequences, first) =>
    sequences.map((sequence) => sequence.evaluate(first, {temperature: 0, yieldEogToken: true}));

async function read(sequences, n) {
    const readers = evaluations(sequences, randomTokens(n));
    for (const reader of readers) await reader.next();
    for (const reader of readers) await reader.return();
}

// All sequences in step: what is asked for in one turn of the event loop becomes one batch.
async function write(sequences, n) {
    const given = randomTokens(n);
    const writers = evaluations(sequences, [given[0]]);
    await Promise.all(writers.map((writer) => writer.next()));
    for (const token of given.slice(1)) await Promise.all(writers.map((writer) => writer.next(token)));
    for (const writer of writers) await writer.return();
}

async function measure(work, sequences, depth, n, times, body) {
    const seconds = [];
    for (let i = 0; i < times; ++i) {
        await setDepth(sequences, depth);
        const start = process.hrtime.bigint();
        await body(sequences, n);
        seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
        check(sequences, depth + n);
    }
    seconds.sort((a, b) => a - b);
    const best = seconds[0], median = (seconds[(times - 1) >> 1] + seconds[times >> 1]) / 2;
    const all = n * sequences.length;
    return {
        work, depth, tokens: n, sequences: sequences.length, repetitions: times, seconds: {best, median},
        tokens_per_second: {best: all / best, median: all / median}
    };
}

const one = await makeSequences(1, Math.max(prompt, depths.at(-1) + Math.max(prefill, tokens)));
await write(one, 1);  // reads the file

async function measureAll(times) {
    const results = [];
    // Both works of a depth together, because a depth takes long to read.
    for (const depth of depths) {
        if (prefill > 0) results.push(await measure("prefill", one, depth, prefill, times, read));
        if (tokens > 0 && batches.includes(1)) results.push(await measure("decode", one, depth, tokens, times, write));
    }
    if (prompt > 0) results.push(await measure("prompt", one, 0, prompt, 1, read));
    for (const count of tokens > 0 ? batches.filter((count) => count > 1) : []) {
        const many = await makeSequences(count, depths[0] + tokens);
        results.push(await measure("decode", many, depths[0], tokens, times, write));
        await many[0].context.dispose();
    }
    return {
        program: `llama.cpp ${llama.llamaCppRelease.release}`,
        system: llama.systemInfo.trim(),
        threads: one[0].context.currentThreads,
        model: {path: positionals[0]},
        results
    };
}

if (options.turns) {
    for await (const _ of createInterface({input: process.stdin})) console.log(JSON.stringify(await measureAll(1)));
} else {
    console.log(JSON.stringify(await measureAll(repetitions), null, 2));
}
process.exit(0);
