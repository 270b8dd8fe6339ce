// Opens a page of the review sheet as a person would: `node sheet.mjs CHROMIUM PAGE.html FOLDER`.
// Writes screenshots into FOLDER and prints, as JSON, what the browser and axe-core have to say.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const [executablePath, file, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const LOOKS = {
  light: { width: 1280, colorScheme: 'light' },
  dark: { width: 1280, colorScheme: 'dark' },
  narrow: { width: 320, colorScheme: 'light' },
  print: { width: 720, media: 'print', colorScheme: 'light' },
};

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage();
const said = { errors: [], requests: [], looks: {} };
page.on('console', (line) => said.errors.push(line.text()));
page.on('pageerror', (error) => said.errors.push(String(error)));
page.on('request', (asked) => said.requests.push(asked.url()));
await page.goto(pathToFileURL(file).href);

said.ran = await page.evaluate(() => typeof hit !== 'undefined');
said.text = await page.evaluate(() => document.documentElement.textContent);
said.obeyed = await page.evaluate(() =>
  [...document.querySelectorAll('*')].flatMap((each) => [
    ...(['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'FORM', 'BASE'].includes(each.tagName) ? [each.tagName] : []),
    ...[...each.attributes].filter(({ name, value }) => name.startsWith('on') || name === 'style'
      || /^\s*(javascript|data|https?):/i.test(value)).map(({ name }) => `${each.tagName} ${name}`),
  ]));
said.ids = await page.evaluate(() => {
  const all = [...document.querySelectorAll('[id]')].map((each) => each.id);
  return all.filter((each, place) => all.indexOf(each) !== place);
});

// By keyboard alone: the first stop leads past the head of the page, and a fold-out opens and closes.
await page.keyboard.press('Tab');
said.first = await page.evaluate(() => document.activeElement.textContent);
said.fold = [];
for (let stops = 0; stops < 200 && !said.fold.length; stops += 1) {
  await page.keyboard.press('Tab');
  if (await page.evaluate(() => document.activeElement.tagName) !== 'SUMMARY') continue;
  const seen = () => page.evaluate(() => {
    const body = document.activeElement.parentElement.querySelector('dl, p');
    const ring = getComputedStyle(document.activeElement).outlineStyle;
    return [document.activeElement.parentElement.open, body.checkVisibility({ contentVisibilityAuto: true }), ring];
  });
  said.fold.push(await seen());
  await page.keyboard.press('Enter');
  said.fold.push(await seen());
  await page.keyboard.press('Space');
  said.fold.push(await seen());
}

await page.evaluate(axe);
await page.evaluate(() => document.querySelectorAll('details').forEach((each, place) => {
  each.open = place < 6;
}));
for (const [look, { width, ...media }] of Object.entries(LOOKS)) {
  await page.setViewportSize({ width, height: 2400 });
  await page.emulateMedia({ media: null, ...media });
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  said.looks[look] = {
    violations: found.violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes[0].html })),
    wider: await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
  };
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${folder}/${look}.png` });
}

// Pictures are loaded when they are looked at.
await page.emulateMedia({ media: null });
said.broken = await page.evaluate(async () => {
  const all = [...document.images];
  all.forEach((each) => { each.loading = 'eager'; });
  await Promise.all(all.map((each) => each.decode().catch(() => null)));
  return all.filter((each) => !each.naturalWidth).map((each) => each.getAttribute('src'));
});
said.images = await page.evaluate(() => document.images.length);
await browser.close();
console.log(JSON.stringify(said));
