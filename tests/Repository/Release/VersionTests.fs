/// The one version, and what is stamped into what is built.
module Agent.Repository.Tests.Release.VersionTests

open System.IO
open Agent.Build
open Agent.TestSupport
open Expecto

let private heading date : Version.Heading = { Number = "1.4.0"; Date = date }

let private dated = heading (Some "2030-01-31")

/// A commit with nothing special about it.
let private plain: Version.Commit =
    {
        Hash = "0123456789abcdef0123456789abcdef01234567"
        Count = Some 57
        IsDirty = false
        Tags = []
        EarlierTags = [ "v1.3.0" ]
    }

let private refusal (result: Result<string, string>) : string =
    match result with
    | Error reason -> reason
    | Ok version -> failtest $"stamped {version}"

[<Tests>]
let tests =
    testList
        "Version"
        [
            testCase "the newest heading is the first one, with its day"
            <| fun () ->
                Expect.equal
                    (Version.newest "# Changelog\n\n## 1.4.0 - 2030-01-31\n\n- New.\n\n## 1.3.0\n")
                    (Ok
                        {
                            Number = "1.4.0"
                            Date = Some "2030-01-31"
                        })
                    "dated"

            testCase "a heading can be without a day, or say that its version is not out"
            <| fun () ->
                for line in [ "## 1.4.0"; "## 1.4.0 - unreleased" ] do
                    Expect.equal (Version.newest $"{line}\n\n## 1.3.0 - 2029-01-01\n") (Ok(heading None)) line

            testCase "a heading without a version is refused, and quoted"
            <| fun () ->
                for line in [ "## Unreleased"; "## 1.4"; "## 1.4.0 - soon"; "## v1.4.0" ] do
                    Expect.stringContains (refusal (Version.newest $"# Changelog\n\n{line}\n" |> Result.map _.Number)) line line

                Expect.isError (Version.newest "# Changelog\n\nNothing yet.\n") "no heading"

            testCase "between releases the version is a pre-release with count and commit"
            <| fun () -> Expect.equal (Version.stamp dated (Some plain)) (Ok "1.4.0-dev.57+0123456") "count and commit"

            testCase "changed files show, and so does the want of git or of its history"
            <| fun () ->
                let stamp commit = Version.stamp dated (Some commit)
                Expect.equal (stamp { plain with IsDirty = true }) (Ok "1.4.0-dev.57+0123456.dirty") "changed files"
                Expect.equal (stamp { plain with Count = None }) (Ok "1.4.0-dev+0123456") "a shallow clone"
                Expect.equal (Version.stamp dated None) (Ok "1.4.0-dev") "no git"

            testCase "on the commit with its tag the version is the heading's alone"
            <| fun () ->
                Expect.equal (Version.stamp dated (Some { plain with Tags = [ "v1.4.0" ] })) (Ok "1.4.0") "a release"

                Expect.equal
                    (Version.stamp
                        dated
                        (Some
                            { plain with
                                Tags = [ "v1.4.0" ]
                                IsDirty = true
                            }))
                    (Ok "1.4.0+0123456.dirty")
                    "a release with changed files says so"

            testCase "a tag that is not the heading's is refused, with both"
            <| fun () ->
                let reason = refusal (Version.stamp dated (Some { plain with Tags = [ "v1.5.0" ] }))
                Expect.stringContains reason "v1.5.0" "the tag"
                Expect.stringContains reason "1.4.0" "the heading"

                let several =
                    refusal (
                        Version.stamp
                            dated
                            (Some
                                { plain with
                                    Tags = [ "v1.4.0"; "v1.5.0" ]
                                })
                    )

                Expect.stringContains several "v1.4.0, v1.5.0" "both tags"

            testCase "a tag on a version without a day is refused"
            <| fun () ->
                Expect.stringContains
                    (refusal (Version.stamp (heading None) (Some { plain with Tags = [ "v1.4.0" ] })))
                    "no date"
                    "the reason"

            testCase "after a release the changelog has to begin the next version"
            <| fun () ->
                let reason =
                    refusal (
                        Version.stamp
                            dated
                            (Some
                                { plain with
                                    EarlierTags = [ "v1.3.0"; "v1.4.0" ]
                                })
                    )

                Expect.stringContains reason "v1.4.0 is already released" "the reason"
                Expect.stringContains reason "CHANGELOG.md" "the remedy"

            testCase "Debian sorts a pre-release before its release"
            <| fun () ->
                Expect.equal (Version.debian "1.4.0-dev.57+0123456") "1.4.0~dev.57+0123456" "Debian"
                Expect.equal (Version.debian "1.4.0") "1.4.0" "Debian, a release"

            testCase "this program was built with the version of CHANGELOG.md's newest heading"
            <| fun () ->
                let number =
                    match Version.newest (File.ReadAllText(Path.Combine(Fixtures.root, "CHANGELOG.md"))) with
                    | Ok heading -> heading.Number
                    | Error reason -> failtest reason

                let built =
                    typeof<Agent.Host.Sampling.Identity>.Assembly.GetName().Version
                    |> Option.ofObj
                    |> Option.map (fun version -> version.ToString 3)

                Expect.equal built (Some number) "the agent's assembly"
        ]
