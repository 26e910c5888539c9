import asyncio
import os

from naptha_sdk.client.naptha import Naptha
from naptha_sdk.modules.orchestrator import Orchestrator
from naptha_sdk.schemas import OrchestratorRunInput
from naptha_sdk.user import sign_consumer_id


async def main():
    naptha = Naptha()

    orchestrator_deployment = {
        "node": {"name": "node2.naptha.ai"},
        "module": {"name": "multiagent_chat"},
        "name": "multiagent_chat",
        "config": {"max_rounds": 2},
        "agent_deployments": [{"node": {"name": "node2.naptha.ai"}}, {"node": {"name": "node2.naptha.ai"}}],
    }

    orchestrator = Orchestrator()

    # Deploy the orchestrator
    response = await orchestrator.create(orchestrator_deployment)
    print("CREATED", response["module"]["name"])

    input_params = {
        "prompt": "i would like to count up to ten, one number at a time. ill start. one.",
    }

    orchestrator_run_input = OrchestratorRunInput(
        consumer_id=naptha.user.id,
        inputs=input_params,
        deployment=orchestrator_deployment,
        signature=sign_consumer_id(naptha.user.id, os.getenv("PRIVATE_KEY"))
    )

    # Call the orchestrator
    response = await orchestrator.call_orchestrator_func(orchestrator_run_input)
    print("ANSWERED", response.status, response.results)


asyncio.run(main())
