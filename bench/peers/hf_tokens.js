// The token ids that Hugging Face's tokenizers give each text of a JSON list, as a JSON list of lists.
//   node hf_tokens.js FOLDER TEXTS.json IDS.json
import fs from 'node:fs';
import path from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';

const [folder, texts, ids] = process.argv.slice(2);
const read = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));
const tokenizer = new Tokenizer(read(path.join(folder, 'tokenizer.json')), read(path.join(folder, 'tokenizer_config.json')));
const encoded = read(texts).map((text) => tokenizer.encode(text, { add_special_tokens: false }).ids);
fs.writeFileSync(ids, JSON.stringify(encoded));
