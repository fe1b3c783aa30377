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
                    "python3 trainer", [| "python3"; "-mtrainer"; "--token"; "abc" |]
                    "python3 torch.distributed.run", [| "python3"; "-mtorch.distributed.run"; "--nproc-per-node"; "2"; "train.py" |]
                    "python3.11 trainer", [| "python3.11"; "-Ium"; "trainer" |]
                    "python3", [| "python3"; "-cimport t"; "--token"; "abc" |]
                    "python3", [| "python3"; "-u"; "-cprint()"; "abc" |]
                    "python3", [| "python3"; "-uc"; "TOKEN=\"abc\";run()" |]
                    "python3 t.py", [| "python3"; "-W"; "ignore"; "-X"; "dev"; "-OWerror"; "t.py"; "abc" |]
                    "python3 t.py", [| "python3"; "--check-hash-based-pycs"; "never"; "t.py" |]
                    "python3", [| "python3"; "--what-is-this"; "abc"; "t.py" |]
                    "python3", [| "python3"; "-"; "abc" |]
                    "python3", [| "python3"; "t.py --token abc" |]
                    "python3", [| "python3"; "ghp_abcdefghijklmnopqrst" |]
                    "bash", [| "bash"; "-lc"; "TOKEN=abc python train.py" |]
                    "bash", [| "bash"; "-s"; "abc" |]
                    "sh", [| "sh"; "-ec"; "TOKEN=abc python train.py" |]
                    "bash run.sh", [| "bash"; "-o"; "pipefail"; "run.sh" |]
                    "bash run.sh", [| "bash"; "-euo"; "pipefail"; "run.sh" |]
                    "ruby t.rb", [| "ruby"; "-I"; "lib"; "t.rb" |]
                    "ruby", [| "ruby"; "-ne"; "abc"; "t.rb" |]
                    "node main.js", [| "node"; "-r"; "./x.js"; "main.js" |]
                    "node", [| "node"; "--eval"; "abc" |]
                    "node", [| "node"; "--eval=x"; "abc" |]
                    "node", [| "node"; "-p"; "abc" |]
                    "node", [| "node"; "-pe"; "x"; "abc" |]
                    "perl", [| "perl"; "-ne"; "abc" |]
                    "perl", [| "perl"; "-pi.bak"; "-e"; "abc" |]
                    "perl t.pl", [| "perl"; "-w"; "-I"; "lib"; "-MFoo"; "t.pl" |]
                    "julia", [| "julia"; "-e1"; "abc" |]
                    "julia t.jl", [| "julia"; "--project=."; "-t"; "4"; "t.jl" |]
                    "Rscript", [| "Rscript"; "-e"; "abc" |]
                    "Rscript t.R", [| "Rscript"; "--vanilla"; "t.R" |]
                    "PASSWORD=***", [| "PASSWORD=abc" |]
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
                    "x --password ***", [| "x"; "--password"; "--abc" |]
                    "x --private-key ***", [| "x"; "--private-key"; "-----BEGIN OPENSSH PRIVATE KEY-----\nabc" |]
                    "x --token *** ***", [| "x"; "--token"; "--password"; "abc" |]
                    "x --config={\\\"api_key\\\":***", [| "x"; "--config={\\\"api_key\\\": \\\"abc\\\"}" |]
                    "x [\"--token\"***", [| "x"; "[\"--token\",\"abc\"]" |]
                    "x --trainer-args=--hub_token ***", [| "x"; "--trainer-args=--hub_token abc" |]
                    "sh -c train ?--token ***", [| "sh"; "-c"; "train \t--token \\\n abc" |]
                    "x OPTS.API_KEY ***", [| "x"; "OPTS.API_KEY"; "abc" |]
                    "x --config model.hub.token ***", [| "x"; "--config"; "model.hub.token"; "abc" |]
                    "x api_key ***", [| "x"; "api_key"; "abc" |]
                    "x --api-tokens ***", [| "x"; "--api-tokens"; "abc" |]
                    "x --task token-classification 1", [| "x"; "--task"; "token-classification"; "1" |]
                    "curl -H Authorization: *** ***", [| "curl"; "-H"; "Authorization:"; "Bearer"; "abc" |]
                    "curl --header Authorization:*** ***", [| "curl"; "--header"; "Authorization:Bearer"; "abc" |]
                    "x --token = ***", [| "x"; "--token"; "="; "abc" |]
                    "x token = ***", [| "x"; "token"; "="; "abc" |]
                    "x --token  ***", [| "x"; "--token"; ""; "abc" |]
                    "x Bearer ***", [| "x"; "Bearer abc" |]
                    "x --creds ***", [| "x"; "--creds"; "ana:abc" |]
                    "x --db_pw ***", [| "x"; "--db_pw"; "abc" |]
                    "x --pat ***", [| "x"; "--pat"; "abc" |]
                    "GH_PAT=*** x", [| "GH_PAT=abc"; "x" |]
                    "curl -u *** http://h/", [| "curl"; "-u"; "ana:abc"; "http://h/" |]
                    "x --user ***", [| "x"; "--user"; "ana:abc" |]
                    "python -u train.py", [| "python"; "-u"; "train.py" |]
                    "curl -x *** h", [| "curl"; "-x"; "ana:abc@proxy:8080"; "h" |]
                    "x --db ***@db:5432/x", [| "x"; "--db"; "ana:abc@db:5432/x" |]
                    "mysql -p***", [| "mysql"; "-pabc" |]
                    "sh -c sshpass -p ***", [| "sh"; "-c"; "sshpass -p abc ssh h" |]
                    "x https://h/c?sv=1&sig=***", [| "x"; "https://h/c?sv=1&sig=abc" |]
                    "x https://hooks.slack.com/***", [| "x"; "https://hooks.slack.com/services/T0/B0/abc" |]
                    "x Cookie:***", [| "x"; "Cookie: sid=abc" |]
                    "x <password>***", [| "x"; "<password>abc</password>" |]
                    "wandb login ***", [| "wandb"; "login"; "abc" |]
                    "wandb login --relogin ***", [| "wandb"; "login"; "--relogin"; "abc" |]
                    "docker login -u *** -p *** h", [| "docker"; "login"; "-u"; "ana"; "-p"; "abc"; "h" |]
                    "x ***", [| "x"; "nvapi-abcdefghijklmn" |]
                    "x ***", [| "x"; "AIzaabcdefghijklmn" |]
                    "x ***", [| "x"; "dckr_pat_abcdefghijklmn" |]
                    "x ***", [| "x"; "npm_abcdefghijklmn" |]
                    "x ***", [| "x"; "hvs.abcdefghijklmn" |]
                    "x ***", [| "x"; "dapi0123456789abcdef" |]
                    "x ***", [| "x"; "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b" |]
                    "x --id=*** y", [| "x"; "--id=Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg=="; "y" |]
                    "x /scratch/9f86d081884c7d659a2feaa0c55ad015/x", [| "x"; "/scratch/9f86d081884c7d659a2feaa0c55ad015/x" |]
                    "x meta-llama/Meta-Llama-3-8B-Instruct", [| "x"; "meta-llama/Meta-Llama-3-8B-Instruct" |]
                    "x --model=bert-base-uncased-finetuned-squad-v1", [| "x"; "--model=bert-base-uncased-finetuned-squad-v1" |]
                    "x /data/secrets/train.py --lr 1", [| "x"; "/data/secrets/train.py"; "--lr"; "1" |]
                    "x ?evil?", [| "x"; "\nevil\u202e" |]
                ] do
                testCase $"the masks of %A{arguments}"
                <| fun () -> Expect.equal (CommandLine.masked arguments) expected "masked"

            testCase "a long command line is cut"
            <| fun () ->
                let shown = CommandLine.masked [| "x"; String.replicate 500 "😀" |]
                Expect.isLessThanOrEqual shown.Length CommandLine.Longest "length"
                Expect.stringEnds shown "😀…" "whole characters"

            testCase "a long command line takes no longer for each character"
            <| fun () ->
                let clock = System.Diagnostics.Stopwatch.StartNew()

                for part in [ "a"; "A-b"; "token="; "--token "; "a:b@"; "://"; "aB"; "\" " ] do
                    CommandLine.masked [| "x"; String.replicate 40000 part |] |> ignore
                    CommandLine.masked (Array.create 20000 part) |> ignore
                    CommandLine.nameOf [| "python"; String.replicate 40000 part |] |> ignore

                Expect.isLessThan clock.Elapsed.TotalSeconds 5.0 "time"

            testCase "a word that is cut is not shown"
            <| fun () ->
                let shown =
                    CommandLine.masked
                        [|
                            "x"
                            "--token"
                            String.replicate 4000 "a"
                            "ana:" + String.replicate 200 "b" + "@h"
                        |]

                Expect.equal shown "x --token *** …" "cut"

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
