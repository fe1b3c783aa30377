/// What runs on GitHub: the same script as everywhere else, with no more rights than it needs.
module Agent.Repository.Tests.Release.WorkflowTests

open System.IO
open System.Text.RegularExpressions
open Agent.TestSupport
open Expecto

let private text =
    lazy (File.ReadAllText(Path.Combine(Fixtures.root, ".github", "workflows", "ci.yml")))

/// The lines of a job, which end where the next one begins.
let private job (name: string) : string =
    match Regex.Match(text.Value, $@"(?m)^  {name}:\n((?:    .*\n|\n)+)") with
    | hit when hit.Success -> hit.Groups[1].Value
    | _ -> failtest $"no job {name}"

[<Tests>]
let tests =
    testList
        "Workflow"
        [
            testCase "pushes, tags and pull requests run .ci/run"
            <| fun () ->
                for trigger in [ "  push:\n"; "    tags: [\"v*\"]\n"; "  pull_request:\n" ] do
                    Expect.stringContains text.Value trigger trigger

                Expect.stringContains (job "ci") "run: bash .ci/run\n" "the script"

            testCase "nothing may be written but by the job that attaches a tag's files"
            <| fun () ->
                Expect.stringContains text.Value "\npermissions:\n  contents: read\n" "for all"
                Expect.equal (Regex.Count(text.Value, @"\bwrite\b")) 1 "one right to write"
                let attach = job "attach"
                Expect.stringContains attach "if: startsWith(github.ref, 'refs/tags/v')\n" "on a tag"
                Expect.stringContains attach "needs: ci\n" "after the tests"
                Expect.stringContains attach "contents: write\n" "the right"

            testCase "a release is what the tests ran on, checked once more"
            <| fun () ->
                Expect.stringContains (job "ci") "path: artifacts/release\n" "what is kept"
                Expect.stringContains (job "attach") "sha256sum --check --strict SHA256SUMS\n" "the check"
                // Ci makes it, and hands it to the tests.
                Expect.isTrue
                    (Regex.IsMatch(
                        File.ReadAllText(Path.Combine(Fixtures.root, "build.fsx")),
                        @"let ci \(\) =\n(    .*\n|\n)* +release \(\)\n(    .*\n|\n)* +\(""RELEASE_DIRECTORY"", releaseDirectory\)\n"
                    ))
                    "Ci makes it, and the tests are told where it is"

            testCase "actions are GitHub's own, each by its major version"
            <| fun () ->
                let uses = [ for hit in Regex.Matches(text.Value, @"uses: (\S+)") -> hit.Groups[1].Value ]
                Expect.isNonEmpty uses "actions"

                for action in uses do
                    Expect.isTrue (Regex.IsMatch(action, @"^actions/[a-z-]+@v\d+$")) action
        ]
