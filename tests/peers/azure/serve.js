// Azurite with one container: node serve.js FOLDER PORT CONTAINER
//
// The one account and its key come from AZURITE_ACCOUNTS, NAME:KEY. `ready` is said when the container is there.
"use strict";

const crypto = require("node:crypto");
const http = require("node:http");

const VERSION = "2021-12-02";

/** Asks for the container, signed with the account's key; gives the status. */
function createContainer(port, container) {
  const [account, key] = process.env.AZURITE_ACCOUNTS.split(":");
  const date = new Date().toUTCString();
  const headers = `x-ms-date:${date}\nx-ms-version:${VERSION}`;
  // With a server of its own the account is in the path, so it is there twice.
  const resource = `/${account}/${account}/${container}\nrestype:container`;
  const text = `PUT${"\n".repeat(12)}${headers}\n${resource}`;
  const signature = crypto
    .createHmac("sha256", Buffer.from(key, "base64"))
    .update(text)
    .digest("base64");
  const options = {
    port,
    host: "127.0.0.1",
    method: "PUT",
    path: `/${account}/${container}?restype=container`,
    headers: {
      authorization: `SharedKey ${account}:${signature}`,
      "content-length": 0,
      "x-ms-date": date,
      "x-ms-version": VERSION,
    },
  };
  return new Promise((resolve) => {
    const request = http.request(options, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    request.on("error", () => resolve(0));
    request.end();
  });
}

async function main([folder, port, container, host]) {
  process.argv.length = 2;
  process.argv.push("--blobHost", host ?? "127.0.0.1", "--blobPort", port, "--location", folder);
  process.argv.push("--disableTelemetry", "--skipApiVersionCheck");
  require("azurite/dist/src/blob/main.js");
  for (;;) {
    const status = await createContainer(port, container);
    if (status === 201 || status === 409) {
      break;
    }
    if (status !== 0) {
      throw new Error(`the container is answered ${status}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  console.log("ready");
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
