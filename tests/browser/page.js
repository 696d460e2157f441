// The page as a reader meets it: light and dark, wide and on a phone, with and without scripts. Violations of accessibility are axe-core's.
"use strict";
const { spawn } = require("node:child_process");
const { readFileSync } = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const binary = process.argv[2];
const hosts = path.join(__dirname, "..", "hosts");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
let passed = 0, failed = 0;

async function check(what, test) {
  try {
    await test();
    passed += 1;
    console.log(`  ok    ${what}`);
  } catch (problem) {
    failed += 1;
    console.log(`  FAIL  ${what}: ${problem.message}`);
  }
}

function equal(seen, expected, what = "") {
  const [a, b] = [JSON.stringify(seen), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what} expected ${b}, seen ${a}`);
}

// A Tare on a free port, once it says where.
function start(args) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TARE_")));
  const tare = spawn(binary, ["run", "--listen", "127.0.0.1:0", ...args], { env: { ...env, TARE_IMDS_ENABLED: "false" } });
  return new Promise((found, lost) => {
    let said = "";
    const hear = (text) => {
      said += text;
      const address = /serving (http:\S+)/.exec(said);
      if (address) found({ url: address[1], stop: () => tare.kill() });
    };
    tare.stdout.on("data", hear);
    tare.stderr.on("data", hear);
    tare.on("exit", (code) => lost(new Error(`tare ended with ${code}: ${said}`)));
  });
}

// A page that keeps what the browser complains of.
async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.complaints.push(message.text()));
  page.on("pageerror", (error) => page.complaints.push(error.message));
  page.on("request", (request) => request.url().startsWith(url.replace(/(:\d+).*/, "$1")) || page.complaints.push(`asks elsewhere: ${request.url()}`));
  await page.goto(url, { waitUntil: "load" });
  return page;
}

const names = (page) => page.$$eval("tbody[data-words]:not([hidden]) .name > a", (links) => links.map((link) => link.textContent));

async function accessible(browser, url, options) {
  // A script of ours is what the policy forbids: the test may pass it by.
  const page = await open(browser, url, { ...options, bypassCSP: true });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  equal(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`), []);
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  if (wide > window) throw new Error(`the page is ${wide} wide in a window of ${window}`);
  await page.context().close();
}

async function main() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
  const recorded = await start(["--replay", path.join(hosts, "v2-systemd")]);
  const live = await start(["--interval", "1s"]);
  try {
    const detail = await (await open(browser, recorded.url)).$eval("tbody[data-words] .name > a", (link) => link.href);
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [360, 1280]) {
        const options = { colorScheme, viewport: { width, height: 800 } };
        await check(`no violation, ${colorScheme}, ${width} wide`, () => accessible(browser, recorded.url, options));
        await check(`no violation, a workload, ${colorScheme}, ${width} wide`, () => accessible(browser, detail, options));
      }
    }
    await check("without scripts all rows are there, sorted by a link and filtered by the form", async () => {
      const page = await open(browser, recorded.url, { javaScriptEnabled: false });
      const all = await names(page);
      if (all.length < 3) throw new Error(`only ${all}`);
      await page.click("thead a:text('Workload')");
      equal(await names(page), [...all].sort(), "sorted");
      await page.fill("#q", "web");
      await page.click("button");
      equal(await names(page), ["web"], "filtered");
      equal(page.complaints, []);
    });
    await check("what is typed narrows the rows at once; / and Escape do as they should", async () => {
      const page = await open(browser, recorded.url);
      const all = await names(page);
      await page.keyboard.press("/");
      await page.keyboard.type("WEB");
      equal(await names(page), ["web"]);
      await page.keyboard.press("Escape");
      equal(await names(page), all);
      equal(page.complaints, []);
    });
    await check("each report renews the page, which keeps filter, focus and place", async () => {
      const page = await open(browser, live.url);
      await page.fill("#q", "system");
      const time = () => page.$eval("time", (time) => time.dateTime);
      const before = await time();
      await page.waitForFunction((before) => document.querySelector("time")?.dateTime !== before, before, { timeout: 30000 });
      equal(await page.$eval("#q", (field) => field.value), "system");
      equal(await page.evaluate(() => document.activeElement?.id), "q");
      equal(await names(page), ["system"]);
      equal(page.complaints, []);
    });
    await check("a link is reached and followed by the keyboard alone", async () => {
      const page = await open(browser, recorded.url);
      for (let at = 0; at < 40; at += 1) {
        await page.keyboard.press("Tab");
        if (await page.evaluate(() => document.activeElement?.matches("tbody .name > a"))) break;
      }
      await Promise.all([page.waitForURL("**/workload?*"), page.keyboard.press("Enter")]);
      equal(await page.$eval("pre", (pre) => pre.textContent.includes("asked")), true);
      equal(page.complaints, []);
    });
  } finally {
    recorded.stop();
    live.stop();
    await browser.close();
  }
}

main()
  .catch((problem) => {
    failed += 1;
    console.log(`  FAIL  ${problem.stack}`);
  })
  .then(() => {
    console.log(`${passed} passed, ${failed} failed, 0 skipped`);
    process.exit(failed ? 1 : 0);
  });
