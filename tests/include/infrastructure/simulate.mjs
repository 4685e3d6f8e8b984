// Reads requests and policies (JSON) from standard input, and prints for each request which statements allow it.
//
// The folder that holds node_modules is the first argument.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { readFileSync } from 'node:fs'

const require = createRequire(join(process.argv[2], 'any.js'))
const { runSimulation } = require('@cloud-copilot/iam-simulate')

async function simulate({ principal, action, resource, context }, policies) {
  const answer = await runSimulation(
    {
      request: {
        principal: `arn:aws:iam::123456789012:role/${principal}`,
        action,
        resource: { resource, accountId: '123456789012' },
        contextVariables: Object.fromEntries(context),
      },
      identityPolicies: Object.entries(policies).map(([name, policy]) => ({ name, policy })),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  )
  if (answer.resultType === 'error') return { result: 'Error', errors: answer.errors, statements: [] }
  const found = answer.resultType === 'single' ? [answer.result] : answer.results
  return {
    result: answer.overallResult,
    ignored: found.flatMap((each) => each.ignoredContextKeys ?? []),
    statements: found.flatMap((each) =>
      (each.analysis.identityAnalysis?.allowStatements ?? []).map((allowed) => [
        allowed.policyId,
        allowed.explain.identifier,
      ]),
    ),
  }
}

const { requests, policies } = JSON.parse(readFileSync(0, 'utf8'))
const answers = []
for (const request of requests) answers.push(await simulate(request, policies[request.principal]))
process.stdout.write(JSON.stringify(answers))
