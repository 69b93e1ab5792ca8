// Every type out and in again as text and in binary, verbs and errors, with node-postgres.
const { Client } = require('pg');
const fs = require('fs');

const values = fs.readFileSync(process.env.VALUES, 'utf8').trimEnd().split('\n').map((line) => line.split('\t'));
const rows = [];
let failed = false;

const count = (name, results) => {
  results.filter(([, held]) => !held).forEach(([what]) => { console.error(`${name}: ${what}`); failed = true; });
  rows.push(`${name} ${results.filter(([, held]) => held).length} of ${results.length}`);
};

(async () => {
  const client = new Client({ connectionString: process.env.DSN });
  await client.connect();
  const one = async (query) => Object.values((await client.query(query)).rows[0]);
  const texts = [];
  const binaries = [];
  for (const [name, text] of values) {
    const [there] = await one({ text: `SELECT $1::text::crm.${name}`, values: [text] });
    const [back] = await one({ text: `SELECT $1::crm.${name}`, values: [there] });
    texts.push([`${name} ${there} ${back}`, typeof there === 'string' && back === there]);

    // The driver reads every answer as text, so the bytes are asked for as a bytea; a Buffer goes in in binary.
    const [out] = await one({ text: `SELECT crm.${name}_send($1::text::crm.${name})`, values: [text] });
    const [again, told] = await one({ text: `SELECT crm.${name}_send(v) AS again, v::text AS told FROM (SELECT $1::crm.${name}) x (v)`, values: [out] });
    binaries.push([`${name} ${out} ${told}`, Buffer.isBuffer(out) && out.equals(again) && told === there]);
  }
  count('text', texts);
  count('binary', binaries);
  rows[1] += ' in';

  const [customer] = await one('INSERT INTO shop.customer DEFAULT VALUES RETURNING customer_id');
  await client.query("INSERT INTO shop.purchase (customer_id, order_no, amount, status) VALUES ($1, $2, 12.34, 'paid')", [customer, `client ${customer}`]);
  const verbs = [];
  for (const [text, wanted] of [
    ["SELECT seq, balance_after FROM shop.earn($1, 100, 'client', 'a')", '1,100'],
    ["SELECT seq, balance_after FROM shop.earn($1, 100, 'client', 'a')", '1,100'],
    ["SELECT seq, balance_after FROM shop.redeem($1, 30, 'client', 'b')", '2,70'],
    ["SELECT h.seq AS held, c.seq FROM shop.hold($1, 20, 'client', 'c') h, LATERAL shop.capture(h.customer_id, 'c') c", '3,4'],
    ['SELECT count(*), max(p.amount)::text FROM shop.purchase p WHERE p.customer_id = $1', '1,12.3400'],
    ["UPDATE shop.customer SET tags = tags OPERATOR(crm.+) 'vip'::text WHERE customer_id = $1 RETURNING tags", '{vip}'],
  ]) {
    const got = (await one({ text, values: [customer] })).join(',');
    verbs.push([`${text}: ${got}`, got === wanted]);
  }
  count('verbs', verbs);
  const errors = [];
  for (const [text, wanted] of [
    ["SELECT shop.redeem($1, 1000, 'client', 'd')", 'CP001'],
    ["SELECT shop.earn($1, 7, 'client', 'a')", 'CP002'],
    ["SELECT shop.earn(-$1::bigint, 7, 'client', 'a')", '23503'],
    ["SELECT ('{' || $1)::crm.tagset", '22P02'],
  ]) {
    try {
      await client.query({ text, values: [customer] });
      errors.push([`${text} is not refused`, false]);
    } catch (error) {
      errors.push([`${text}: ${error.code} ${error.hint}`, error.code === wanted && (Boolean(error.hint) || !wanted.startsWith('C'))]);
    }
  }
  count('errors', errors);
  await client.end();
  console.log(`version ${require('pg/package.json').version}\n${rows.join('\n')}`);
  process.exit(failed ? 1 : 0);
})().catch((error) => { console.error(error); process.exit(1); });
