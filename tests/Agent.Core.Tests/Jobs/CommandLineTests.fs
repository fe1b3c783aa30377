/// What is shown of command lines, and what never is.
module Agent.Core.Tests.Jobs.CommandLineTests

open Agent.Core.Jobs
open Expecto

[<Tests>]
let tests =
    testList
        "Jobs.CommandLine"
        [
            for expected, arguments in
                [
                    "python3 train.py", [| "/usr/bin/python3"; "train.py"; "--lr"; "0.1" |]
                    "python train.py", [| "python"; "-u"; "-W"; "ignore"; "/home/ana/secret-project/train.py" |]
                    "python3.11 torch.distributed.run", [| "python3.11"; "-m"; "torch.distributed.run"; "train.py" |]
                    "python", [| "python"; "-c"; "from multiprocessing.spawn import spawn_main" |]
                    "trtexec", [| "/opt/bin/trtexec"; "--onnx=model.onnx" |]
                    "bash run.sh", [| "/bin/bash"; "./run.sh" |]
                    "sshd", [| "sshd: ana@pts/0" |]
                    "python-launcher", [| "python-launcher"; "x" |]
                    "", [||]
                ] do
                testCase $"the name of %A{arguments}"
                <| fun () -> Expect.equal (CommandLine.nameOf arguments) expected "name"

            for expected, arguments in
                [
                    "train --lr 0.1 --tokenizer gpt2 --max_tokens=5", [| "train"; "--lr"; "0.1"; "--tokenizer"; "gpt2"; "--max_tokens=5" |]
                    "train --token ***", [| "train"; "--token"; "abc" |]
                    "train --hf-token *** --seed 1", [| "train"; "--hf-token"; "abc"; "--seed"; "1" |]
                    "train --token=***", [| "train"; "--token=abc" |]
                    "train -password *** x", [| "train"; "-password"; "abc def"; "x" |]
                    "env WANDB_API_KEY=*** train", [| "env"; "WANDB_API_KEY=abc"; "train" |]
                    "x AWS_SECRET_ACCESS_KEY=***", [| "x"; "AWS_SECRET_ACCESS_KEY=a=b" |]
                    "x --wandbApiKey=***", [| "x"; "--wandbApiKey=abc" |]
                    "x --credentials ***", [| "x"; "--credentials"; "/a/b.json" |]
                    "x +logger.api_key=***", [| "x"; "+logger.api_key=abc" |]
                    "x --config={\"api_key\":***", [| "x"; "--config={\"api_key\":\"abc\"}" |]
                    "curl -H Authorization:***", [| "curl"; "-H"; "Authorization: Bearer abc" |]
                    "sh -c export TOKEN=***", [| "sh"; "-c"; "export TOKEN=abc; train" |]
                    "sh -c train --token ***", [| "sh"; "-c"; "train --token abc --lr 1" |]
                    "x postgres://***@db/runs", [| "x"; "postgres://ana:abc@db/runs" |]
                    "x --db=postgres://***@db/runs?a=b", [| "x"; "--db=postgres://ana:a@bc@db/runs?a=b" |]
                    "git clone https://***@github.com/a/b", [| "git"; "clone"; "https://ghtoken@github.com/a/b" |]
                    "x redis://***@h", [| "x"; "redis://u:p/a#ss@h" |]
                    "x http://h:8080/a@b", [| "x"; "http://h:8080/a@b" |]
                    "x ***", [| "x"; "hf_abcdefghijklmnopqrst" |]
                    "x --login=***", [| "x"; "--login=ghp_abcdefghijklmnopqrst" |]
                    "x https://h/?token=***", [| "x"; "https://h/?token=abc" |]
                    "x --use-key --verbose", [| "x"; "--use-key"; "--verbose" |]
                    "x ?evil?", [| "x"; "\nevil\u202e" |]
                ] do
                testCase $"the masks of %A{arguments}"
                <| fun () -> Expect.equal (CommandLine.masked arguments) expected "masked"

            testCase "a long command line is cut"
            <| fun () ->
                let shown = CommandLine.masked [| "x"; String.replicate 500 "😀" |]
                Expect.isLessThanOrEqual shown.Length CommandLine.Longest "length"
                Expect.stringEnds shown "😀…" "whole characters"

            testCase "how much is shown is the user's choice"
            <| fun () ->
                let arguments = [| "/usr/bin/python3"; "train.py"; "--token"; "abc" |]
                Expect.equal (CommandLine.ofDetail JobDetail.None arguments) "" "none"
                Expect.equal (CommandLine.ofDetail JobDetail.Names arguments) "python3 train.py" "names"
                Expect.equal (CommandLine.ofDetail JobDetail.Full arguments) "/usr/bin/python3 train.py --token ***" "full"

            testCase "helpers of a trainer are no loaders"
            <| fun () ->
                Expect.isTrue
                    (CommandLine.isHelper
                        [|
                            "python"
                            "-c"
                            "from multiprocessing.resource_tracker import main;main(5)"
                        |])
                    "tracker"

                Expect.isFalse (CommandLine.isHelper [| "python"; "train.py"; "a"; "b"; "wandb" |]) "an argument further on"
        ]
