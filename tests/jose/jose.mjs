// SPDX-License-Identifier: Apache-2.0
// The npm package jose as a filter: one JSON request on standard input, one JSON answer on standard output.
//   {"do":"sign","key":JWK,"header":{},"payload":{}}    {"token":"..."}
//   {"do":"verify","key":JWK,"token":"...","typ":"..."}   {"header":{},"payload":{}}
import { readFileSync } from "node:fs";
import { SignJWT, importJWK, jwtVerify } from "jose";

const request = JSON.parse(readFileSync(0, "utf8"));
const key = await importJWK(request.key, "EdDSA");
let answer;
if (request.do === "sign") {
    answer = { token: await new SignJWT(request.payload).setProtectedHeader(request.header).sign(key) };
} else {
    const { protectedHeader, payload } = await jwtVerify(request.token, key, { algorithms: ["EdDSA"], typ: request.typ });
    answer = { header: protectedHeader, payload };
}
process.stdout.write(JSON.stringify(answer));
