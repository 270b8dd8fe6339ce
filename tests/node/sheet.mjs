// Opens the review sheet as a person would: `node sheet.mjs CHROMIUM OUTBOX PICTURES MONTH.html`.
// Writes pictures of the index into a folder and prints, as JSON, what browser and axe-core say.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const [executablePath, outbox, pictures, month] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const LOOKS = {
  light: { width: 1280, colorScheme: 'light' },
  dark: { width: 320, colorScheme: 'dark' },
  print: { width: 720, media: 'print', colorScheme: 'dark' },
};
const HEIGHT = 2400;
const HEARD = ['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'FORM', 'BASE'];

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage({ viewport: { width: 1280, height: HEIGHT } });
const errors = [];
const requests = [];
page.on('console', (line) => errors.push(line.text()));
page.on('pageerror', (error) => errors.push(String(error)));
page.on('request', (asked) => requests.push(asked.url()));

// What of a page a browser might obey, though it be text to us.
async function opened(file) {
  await page.goto(pathToFileURL(`${outbox}/${file}`).href);
  return page.evaluate((heard) => {
    const all = [...document.querySelectorAll('*')];
    const ids = all.map((each) => each.id).filter(Boolean);
    return {
      text: document.documentElement.textContent,
      ran: typeof hit !== 'undefined',
      obeyed: all.flatMap((each) => [
        ...(heard.includes(each.tagName) ? [each.tagName] : []),
        ...[...each.attributes].filter(({ name, value }) => name.startsWith('on') || name === 'style'
          || /^\s*(javascript|data|https?):/i.test(value)).map(({ name }) => `${each.tagName} ${name}`),
      ]),
      twice: ids.filter((each, place) => ids.indexOf(each) !== place),
      dangling: all.map((each) => each.getAttribute('href') ?? '').filter((href) => (
        href.startsWith('#') && !document.getElementById(href.slice(1)))),
    };
  }, HEARD);
}

// By keyboard alone: where the first stop leads, and how the first fold-out opens and closes.
async function folded() {
  await page.keyboard.press('Tab');
  const stops = [await page.evaluate(() => document.activeElement.getAttribute('href'))];
  const states = [];
  for (let stop = 0; stop < 100; stop += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement.tagName) === 'SUMMARY') break;
  }
  for (const key of ['', 'Enter', 'Space']) {
    if (key) await page.keyboard.press(key);
    states.push(await page.evaluate(() => {
      const { activeElement: summary } = document;
      const shown = summary.parentElement.querySelector('dl').checkVisibility();
      return `${shown ? 'open' : 'closed'}, ${getComputedStyle(summary).outlineStyle} ring`;
    }));
  }
  return { stops, states };
}

async function violations() {
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes[0].html }));
}

const said = { errors, requests, pages: { index: await opened('index.html') }, looks: {} };
Object.assign(said, await folded());
await page.evaluate(axe);
await page.evaluate(() => [...document.querySelectorAll('details')].slice(0, 6).forEach((each) => {
  each.open = true;
}));
for (const [look, { width, ...media }] of Object.entries(LOOKS)) {
  await page.setViewportSize({ width, height: HEIGHT });
  await page.emulateMedia({ media: null, ...media });
  said.looks[look] = {
    violations: await violations(),
    wider: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
  };
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${pictures}/${look}.png` });
}
said.missing = await page.evaluate(async () => {
  const all = [...document.images];
  all.forEach((each) => { each.loading = 'eager'; });
  await Promise.all(all.map((each) => each.decode().catch(() => null)));
  return all.filter((each) => !each.naturalWidth).map((each) => each.getAttribute('src'));
});
said.images = await page.evaluate(() => document.images.length);
await page.emulateMedia({ media: null, colorScheme: 'light' });
said.pages.month = await opened(month);
await page.evaluate(axe);
said.looks.month = { violations: await violations(), wider: 0 };
await browser.close();
console.log(JSON.stringify(said));
